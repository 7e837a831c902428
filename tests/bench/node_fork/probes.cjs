// SPDX-License-Identifier: Apache-2.0
// What handlers do. Each returns text that is the same whenever it works; `twice` lists those whose
// text must differ between two calls instead.
'use strict';

const crypto = require('crypto');
const fs = require('fs');
const http = require('http');
const zlib = require('zlib');
const { promisify } = require('util');

const sleep = promisify(setTimeout);

// Work that V8 compiles in the background, and garbage that it collects with helpers.
function hash(rounds) {
  let value = 1;
  for (let i = 0; i < rounds; i++) value = (value * 31 + i) | 0;
  return value;
}

const works = {
  async timer() {
    await sleep(5);
    return 'slept';
  },
  async readFileInThePool() {
    return (await fs.promises.readFile('/etc/hostname')).length > 0;
  },
  async zlibInThePool() {
    const packed = await promisify(zlib.gzip)(Buffer.alloc(1e6, 'x'));
    return (await promisify(zlib.gunzip)(packed)).length;
  },
  async pbkdf2InThePool() {
    return (await promisify(crypto.pbkdf2)('a', 'b', 1000, 32, 'sha256')).toString('hex');
  },
  async nameLookup() {
    return (await require('dns').promises.lookup('localhost')).address.length > 0;
  },
  async httpServerAndClient() {
    const server = http.createServer((request, response) => response.end('hello')).listen(0);
    await new Promise((listening) => server.on('listening', listening));
    const answer = await fetch(`http://127.0.0.1:${server.address().port}`);
    const text = await answer.text();
    server.close();
    return text;
  },
  async childProcess() {
    return (await promisify(require('child_process').execFile)('/bin/echo', ['hi'])).stdout;
  },
  async workerThread() {
    const { Worker } = require('worker_threads');
    const worker = new Worker("require('worker_threads').parentPort.postMessage(6 * 7)",
                              { eval: true });
    return await new Promise((resolve, reject) =>
                                 worker.on('message', resolve).on('error', reject));
  },
  async webAssembly() {
    const bytes = Buffer.from(
        'AGFzbQEAAAABBwFgAn9/AX8DAgEABwcBA2FkZAAACgkBBwAgACABagsACgRuYW1lAgMBAAA=', 'base64');
    const built = await WebAssembly.instantiate(bytes.subarray(0, 41));
    return built.instance.exports.add(2, 3);
  },
  async garbage() {
    let kept = [];
    for (let i = 0; i < 3e6; i++) {
      if (i % 300000 === 0) kept = [];
      kept.push({ i, text: `n${i}` });
    }
    return kept.length;
  },
  async largeHeap() {
    const kept = [];
    for (let i = 0; i < 40; i++) kept.push(new Array(1e5).fill(i).map((x) => ({ x })));
    return kept.length;
  },
  async hotLoop() {
    let value = 0;
    for (let i = 0; i < 300; i++) value ^= hash(1e5);
    return value;
  },
  async pid() {
    return process.pid === Number(fs.readlinkSync('/proc/self'));
  },
  async signal() {
    const got = new Promise((resolve) => process.once('SIGUSR2', () => resolve('got it')));
    process.kill(Number(fs.readlinkSync('/proc/self')), 'SIGUSR2');
    return await Promise.race([got, sleep(1000)]);  // a listener keeps no loop alive
  },
  async inspector() {
    const { Session } = require('inspector');
    const session = new Session();
    session.connect();
    return await new Promise((resolve, reject) => session.post(
                                 'Runtime.evaluate', { expression: '1 + 1' },
                                 (error, found) => error ? reject(error) :
                                                           resolve(found.result.value)));
  },
};

const differs = {
  async randomBytes() {
    return crypto.randomBytes(16).toString('hex');
  },
  async randomUUID() {
    return crypto.randomUUID();
  },
  async webCryptoUUID() {
    return globalThis.crypto.randomUUID();
  },
  async mathRandom() {
    return String(Math.random());
  },
  async temporaryFolder() {
    return fs.mkdtempSync('/tmp/fork-');
  },
};

module.exports = { works, differs };
