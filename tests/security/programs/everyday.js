// SPDX-License-Identifier: Apache-2.0
// What node programs do: each function is one, and returns what it found.
'use strict';
const {Worker, isMainThread, parentPort, workerData} = require('node:worker_threads');
const child_process = require('node:child_process');
const crypto = require('node:crypto');
const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const os = require('node:os');
const dns = require('node:dns').promises;
const zlib = require('node:zlib');
const {promisify} = require('node:util');
const {once} = require('node:events');

if (!isMainThread) {
  // A worker: counts in shared memory, then answers.
  for (let i = 0; i < 1000; ++i) Atomics.add(new Int32Array(workerData), 0, 1);
  parentPort.postMessage('done');
} else if (process.argv[2] === 'child') {
  process.on('message', (text) => {
    process.send(text + ' back');
    process.disconnect();
  });
}

async function workerThreads() {
  const shared = new SharedArrayBuffer(4);
  const workers = Array.from({length: 4}, () => new Worker(__filename, {workerData: shared}));
  // Both from the start: a worker's exit can follow its message at once.
  await Promise.all(workers.flatMap((worker) => [once(worker, 'message'), once(worker, 'exit')]));
  return new Int32Array(shared)[0];
}

async function cryptography() {
  const key = await promisify(crypto.scrypt)('word', 'salt', 32);
  const derived = await promisify(crypto.pbkdf2)('word', 'salt', 1000, 32, 'sha256');
  const pair = await promisify(crypto.generateKeyPair)('ec', {namedCurve: 'P-256'});
  const signed = crypto.sign('sha256', derived, pair.privateKey);
  const cipher = crypto.createCipheriv('aes-256-gcm', key, crypto.randomBytes(12));
  const sealed = Buffer.concat([cipher.update('hello'), cipher.final()]);
  return [crypto.verify('sha256', derived, pair.publicKey, signed), sealed.length,
          crypto.createHash('sha256').update('').digest('hex').slice(0, 8)];
}

async function compression() {
  const data = Buffer.alloc(1000000, 'abc');
  const found = [];
  for (const [pack, unpack] of [['gzip', 'gunzip'], ['deflate', 'inflate'],
                                ['brotliCompress', 'brotliDecompress']]) {
    const packed = await promisify(zlib[pack])(data);
    found.push(packed.length < 10000 && (await promisify(zlib[unpack])(packed)).equals(data));
  }
  return found;
}

async function children() {
  const run = promisify(child_process.exec);
  const piped = (await run('seq 100 | sort -r | head -1')).stdout;
  const spawned = child_process.spawn('cat');
  spawned.stdin.end('hello');
  let text = '';
  for await (const part of spawned.stdout) text += part;
  const forked = child_process.fork(__filename, ['child']);
  forked.send('there and');
  const [answer] = await once(forked, 'message');
  const [status] = await once(forked, 'exit');
  const killed = child_process.spawn('sleep', ['60']);
  killed.kill();
  const [, signal] = await once(killed, 'exit');
  return [piped, text, answer, status, signal,
          child_process.spawnSync('true').status];
}

async function network() {
  const server = http.createServer((request, response) => request.pipe(response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${server.address().port}/`;
  const answer = await fetch(url, {method: 'POST', body: 'x'.repeat(200000)});
  const length = (await answer.text()).length;
  server.closeAllConnections();
  server.close();
  const local = net.createServer((socket) => socket.end('unix'));
  local.listen('/tmp/socket');
  await once(local, 'listening');
  let text = '';
  for await (const part of net.connect('/tmp/socket')) text += part;
  local.close();
  return [answer.status, length, text, (await dns.lookup('localhost')).address !== ''];
}

async function files() {
  await fs.promises.writeFile('/tmp/a', crypto.randomBytes(300000), {flush: true});
  await fs.promises.copyFile('/tmp/a', '/tmp/b');
  fs.cpSync('/tmp/b', '/tmp/c');
  await fs.promises.copyFile(__filename, '/tmp/d');
  const handle = await fs.promises.open('/tmp/c', 'r+');
  await handle.sync();
  await handle.datasync();
  await handle.utimes(1, 1);
  await handle.close();
  const streamed = fs.createReadStream('/tmp/c').pipe(fs.createWriteStream('/tmp/e'));
  await once(streamed, 'finish');
  const [a, e] = ['/tmp/a', '/tmp/e'].map((path) => fs.readFileSync(path));
  return [a.equals(e), os.cpus().length > 0, Object.keys(os.networkInterfaces())];
}

async function engine() {
  // The smallest module that adds two numbers.
  const code = Buffer.from('0061736d0100000001070160027f7f017f0302010007070103616464' +
                           '00000a09010700200020016a0b', 'hex');
  const {instance} = await WebAssembly.instantiate(code);
  os.setPriority(process.pid, 5);
  // Enough work for the compiler of hot code and the collector's threads.
  let sum = 0;
  for (let i = 0; i < 3000000; ++i) sum = (sum + [i, i + 1].length * i) % 1000003;
  return [instance.exports.add(2, 3), sum > 0, os.getPriority(process.pid)];
}

const PROGRAMS = {worker_threads: workerThreads, crypto: cryptography, zlib: compression,
                  child_process: children, network, files, engine};

exports.handle = async (event) => {
  try {
    return {result: await PROGRAMS[event]()};
  } catch (error) {
    return {failed: error.stack};
  }
};
