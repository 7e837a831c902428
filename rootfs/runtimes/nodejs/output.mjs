// SPDX-License-Identifier: Apache-2.0
// stdout and stderr that have passed everything on when write() returns. Node's own streams queue
// what a full pipe does not take, and process.exit() loses the queue; a killed call would lose it
// too.
import { writeSync } from 'node:fs';
import process from 'node:process';
import { Writable } from 'node:stream';

const sleeper = new Int32Array(new SharedArrayBuffer(4));

function writeAll(descriptor, bytes) {
  for (let at = 0; at < bytes.length;) {
    try {
      at += writeSync(descriptor, bytes, at);
    } catch (error) {
      if (error.code !== 'EAGAIN') throw error;
      // User code made the pipe non-blocking, and it is full.
      Atomics.wait(sleeper, 0, 0, 1);
    }
  }
}

class Output extends Writable {
  constructor(descriptor) {
    super({ decodeStrings: true });
    this.fd = descriptor;
    this.isTTY = false;
  }

  _write(chunk, _encoding, done) {
    try {
      writeAll(this.fd, chunk);
    } catch {
      // Nobody reads the log any more, or user code closed it: that fails no call.
    }
    done();
  }

  // As the streams of Node: end() and destroy() do not close the descriptor.
  _destroy(error, done) {
    done(error);
  }
}

function define(name, descriptor) {
  let stream = null;
  Object.defineProperty(process, name, {
    configurable: true,
    enumerable: true,
    get() {
      stream ??= new Output(descriptor);
      return stream;
    },
    set(value) {
      stream = value;
    },
  });
}

// Must run before anything uses process.stdout or console.
export function makeOutputSynchronous() {
  define('stdout', 1);
  define('stderr', 2);
}
