// SPDX-License-Identifier: Apache-2.0
// What one call of a nodejs function might leave for the next: carry.py where Node.js has a way.
import { spawn, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import process from 'node:process';
import { Worker } from 'node:worker_threads';

const kept = [];

function found(condition) {
  if (!condition) throw new Error('nothing');
}

function portOf(word) {
  return 20000 + [...word].reduce((sum, each) => (sum * 31 + each.charCodeAt(0)) % 10000, 7);
}

function listening(...where) {
  return new Promise((resolve, reject) => {
    const server = net.createServer().listen(...where);
    server.on('listening', () => resolve(kept.push(server))).on('error', reject);
  });
}

function connected(...where) {
  return new Promise((resolve, reject) => {
    const client = net.connect(...where);
    client.on('connect', () => resolve(client.destroy())).on('error', reject);
  });
}

// Whether some process has the word as an argument.
function runs(word) {
  return fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name)).some((pid) => {
    try {
      return fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes(word);
    } catch {
      return false;
    }
  });
}

const ways = {
  file_in_tmp: {
    leave: (word) => fs.writeFileSync(`/tmp/${word}`, word),
    find: (word) => fs.accessSync(`/tmp/${word}`),
  },
  file_in_shared_memory: {
    leave: (word) => fs.writeFileSync(`/dev/shm/${word}`, word),
    find: (word) => fs.accessSync(`/dev/shm/${word}`),
  },
  environment: {
    leave: (word) => { process.env.LEFT = word; },
    find: (word) => found(process.env.LEFT === word),
  },
  working_folder: {
    leave: (word) => { fs.mkdirSync(`/tmp/${word}-folder`); process.chdir(`/tmp/${word}-folder`); },
    find: (word) => found(process.cwd().includes(word)),
  },
  umask: {
    leave: () => process.umask(0o027),
    find: () => found(process.umask() === 0o027),
  },
  memory: {
    leave: (word) => { globalThis.left = word; },
    find: (word) => found(globalThis.left === word),
  },
  descriptor: {
    leave: () => { while (fs.openSync('/var/task/carry.mjs') < 200); },
    find: () => found(fs.fstatSync(200).isFile()),
  },
  signal_handler: {
    leave: () => process.on('SIGUSR2', () => {}),
    find: () => found(process.listenerCount('SIGUSR2') === 1),
  },
  timer: {
    leave: (word) => setTimeout(() => { globalThis[word] = true; }, 1),
    // In the next call it has run, or it never will.
    find: async (word) => {
      await new Promise((resolve) => { setTimeout(resolve, 50); });
      found(globalThis[word]);
    },
  },
  thread: {
    leave: (word) => new Promise((resolve) => {
      const worker = new Worker('setInterval(() => {}, 1e6)', { eval: true, name: word });
      kept.push(worker);
      worker.on('online', resolve);
    }),
    find: () => found(kept.some((each) => each instanceof Worker && each.threadId > 0)),
  },
  process: {
    leave: async (word) => {
      const child = spawn('/bin/sh', ['-c', 'while :; do sleep 60; done', word],
        { detached: true, stdio: 'ignore' });
      child.unref();
      while (!runs(word)) await new Promise((resolve) => { setTimeout(resolve, 5); });
    },
    find: (word) => found(runs(word)),
  },
  priority: {
    leave: () => os.setPriority(0, 3),
    find: () => found(os.getPriority(0) === 3),
  },
  limit_on_open_files: {
    // Node.js has no call for it; a child may limit its parent.
    leave: () => spawnSync('prlimit', ['--pid', process.pid, '--nofile=512:512']),
    find: () => found(/^Max open files +512 +512 /m.test(fs.readFileSync('/proc/self/limits'))),
  },
  name_of_the_process: {
    leave: (word) => { process.title = word; },
    find: (word) => found(fs.readFileSync('/proc/self/cmdline', 'utf8').includes(word.slice(0, 9))),
  },
  socket_in_tmp: {
    leave: (word) => listening(`/tmp/${word}.socket`),
    find: (word) => connected(`/tmp/${word}.socket`),
  },
  port: {
    leave: (word) => listening(portOf(word), '127.0.0.1'),
    find: (word) => connected(portOf(word), '127.0.0.1'),
  },
};

// To leave is to find it too, as long as this call runs.
export async function handle({ what, way, word }) {
  try {
    if (what === 'ways') return Object.keys(ways).sort();
    if (what === 'leave') await ways[way].leave(word);
    await ways[way].find(word);
    return { worked: true, detail: 'found' };
  } catch (error) {
    return { worked: false, detail: error.code ?? error.message };
  }
}
