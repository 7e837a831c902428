// SPDX-License-Identifier: Apache-2.0
// stdout and stderr that have passed everything on when write() returns. Node's own streams queue
// what a full pipe does not take, and process.exit() loses the queue; a killed call would lose it
// too.
'use strict';
const { writeSync } = require('node:fs');
const process = require('node:process');

let sleeper = null;

function sleep(milliseconds) {
  sleeper ??= new Int32Array(new SharedArrayBuffer(4));
  Atomics.wait(sleeper, 0, 0, milliseconds);
}

function writeAll(descriptor, bytes) {
  for (let at = 0; at < bytes.length;) {
    try {
      at += writeSync(descriptor, bytes, at);
    } catch (error) {
      if (error.code !== 'EAGAIN') throw error;
      sleep(1);  // user code made the pipe non-blocking, and it is full
    }
  }
}

// A process that writes nothing never loads Node's streams.
function makeOutput(descriptor) {
  const { Writable } = require('node:stream');
  const output = new Writable({
    decodeStrings: true,
    write(chunk, _encoding, done) {
      try {
        writeAll(descriptor, chunk);
      } catch {
        // Nobody reads the log any more, or user code closed it: that fails no call.
      }
      done();
    },
    // As the streams of Node: end() and destroy() do not close the descriptor.
    destroy(error, done) {
      done(error);
    },
  });
  return Object.assign(output, { fd: descriptor, isTTY: false });
}

function define(name, descriptor) {
  let stream = null;
  Object.defineProperty(process, name, {
    configurable: true,
    enumerable: true,
    get() {
      stream ??= makeOutput(descriptor);
      return stream;
    },
    set(value) {
      stream = value;
    },
  });
}

// Must run before anything uses process.stdout or console.
function makeOutputSynchronous() {
  define('stdout', 1);
  define('stderr', 2);
}

module.exports = { makeOutputSynchronous };
