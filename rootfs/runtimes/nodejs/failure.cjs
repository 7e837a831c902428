// SPDX-License-Identifier: Apache-2.0
// What user code threw or did wrong, as *error* frames and in the function's log.
'use strict';
const process = require('node:process');
const channel = require('./channel.cjs');

const kTypeBytesMax = 256;
const kMessageBytesMax = 8 * 1024;
const kStackBytesMax = 32 * 1024;

class Failure {
  constructor(kind, type, message, stack = '') {
    Object.assign(this, { kind, type, message, stack });
  }
}

// Anything can be thrown, and reading it can throw again.
function quietly(read, otherwise) {
  try {
    const value = read();
    return value === undefined || value === null ? otherwise : String(value);
  } catch {
    return otherwise;
  }
}

function fromThrown(kind, thrown, type, message) {
  if (thrown instanceof Failure) return thrown;
  const isError = thrown instanceof Error || quietly(() => thrown.stack, '') !== '';
  return new Failure(
    kind,
    type ?? (isError ? nameOf(thrown) : typeof thrown),
    message ?? quietly(() => (isError ? thrown.message : thrown), String(typeof thrown)),
    isError ? userFrames(quietly(() => thrown.stack, '')) : '',
  );
}

// The class says more than the name that all of them inherit.
function nameOf(error) {
  const name = quietly(() => error.name, 'Error');
  return name === 'Error' ? quietly(() => error.constructor.name || name, name) : name;
}

// A stack without the lines of this runtime and of Node's inside.
function userFrames(stack) {
  const isUsers = (line) =>
    !/^\s+at /.test(line) ||
    !(line.includes(__dirname) || line.includes('node:internal/'));
  return stack.split('\n').filter(isUsers).join('\n');
}

function bounded(text, bytesMax) {
  const bytes = Buffer.from(text.replaceAll('\0', '\ufffd'));
  if (bytes.length <= bytesMax) return bytes.toString();
  let end = bytesMax;
  while ((bytes[end] & 0xc0) === 0x80) --end;
  return bytes.toString('utf8', 0, end);
}

// Tells the log, then hearthd.
function sendFailure(failure, call) {
  try {
    const stack = failure.stack === '' ? '' : `${failure.stack}\n`;
    process.stderr.write(`[ERROR] ${failure.type}: ${failure.message}\n${stack}`);
  } catch {
    // User code replaced process.stderr: the frame says it all.
  }
  channel.send(channel.ERROR, call, [
    ['kind', failure.kind],
    ['type', bounded(failure.type, kTypeBytesMax)],
    ['message', bounded(failure.message, kMessageBytesMax)],
    ['stack', bounded(failure.stack, kStackBytesMax)],
  ]);
}

module.exports = { Failure, fromThrown, sendFailure };
