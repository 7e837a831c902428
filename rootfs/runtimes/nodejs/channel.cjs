// SPDX-License-Identifier: Apache-2.0
// Frames between hearthd and this process, on descriptor 3.
'use strict';
const { readSync, writeSync } = require('node:fs');
const path = require('node:path');
const process = require('node:process');
const { utf8 } = require('./text.cjs');

const kChannel = 3;
const kMagic = 0x48545248;
const kHeaderBytes = 24;
const kMetaBytesMax = 64 * 1024;
const k32Bits = 2 ** 32;

const HELLO = 1, LOAD = 2, READY = 3, CALL = 4, REPLY = 5, ERROR = 6;
const LAST_CALL = 1;

// A small frame arrives by one read: hearthd sends one and waits for its answer. That leaves by one
// write. Neither costs memory that has to be collected.
const arrival = Buffer.allocUnsafeSlow(16 * 1024);
const departure = Buffer.allocUnsafeSlow(16 * 1024);

let { readSome, writeSome } = {
  readSome(buffer, from, to) {
    for (;;) {
      try {
        return readSync(kChannel, buffer, from, to - from, null);
      } catch (error) {
        if (error.code !== 'EINTR') throw error;
      }
    }
  },
  writeSome: (buffer, from, to) => writeSync(kChannel, buffer, from, to - from),
};

// For a process that serves many calls: the same by channel.c. Loading it takes a process that
// serves one call longer than it saves, and not every node can.
function hasten() {
  const module = { exports: {} };
  try {
    process.dlopen(module, path.join(__dirname, 'channel.node'));
  } catch {
    return;
  }
  const checked = (move) => (buffer, from, to) => {
    const moved = move(buffer, from, to);
    if (moved < 0) throw new Error(`the channel: errno ${-moved}`);
    return moved;
  };
  readSome = checked(module.exports.receive);
  writeSome = checked(module.exports.send);
}

// Reads until `buffer`, which has `at` bytes, has `size`. false: end of file before the first byte.
function readUntil(buffer, at, size) {
  let have = at;
  while (have < size) {
    const got = readSome(buffer, have, buffer.length);
    if (got === 0 && have === 0) return false;
    if (got === 0) throw new Error('the channel ended inside a frame');
    have += got;
  }
  return have;
}

// The whole frame whose first `have` bytes are in `arrival`, of `size` bytes.
function whole(have, size) {
  if (have > size) throw new Error('more than one frame on the channel');
  if (have === size) return arrival;
  const frame = size <= arrival.length ? arrival : Buffer.allocUnsafeSlow(size);
  if (frame !== arrival) arrival.copy(frame, 0, 0, have);
  readUntil(frame, have, size);
  return frame;
}

// Waits for a frame of this type; null at the end of the channel. Its `meta` and `body` are of the
// channel's own memory: valid until the next one arrives, and never to be shown to user code.
function receive(expected) {
  const have = readUntil(arrival, 0, kHeaderBytes);
  if (have === false) return null;
  const metaBytes = arrival.readUInt32LE(8);
  const bodyBytes = arrival.readUInt32LE(12);
  if (arrival.readUInt32LE(0) !== kMagic || arrival[4] !== expected || metaBytes > kMetaBytesMax) {
    throw new Error(`no frame of type ${expected} on the channel`);
  }
  const flags = arrival[5];
  const call = arrival.readUInt32LE(16) + k32Bits * arrival.readUInt32LE(20);
  const bodyAt = kHeaderBytes + metaBytes;
  const frame = whole(have, bodyAt + bodyBytes);
  return {
    flags,
    call,
    meta: frame.subarray(kHeaderBytes, bodyAt),
    body: frame.subarray(bodyAt, bodyAt + bodyBytes),
  };
}

// `pairs` holds [name, value] texts without NUL; `body` is text or bytes.
function send(type, call, pairs, body = '') {
  let meta = '';
  for (const [name, value] of pairs) meta += `${name}\0${value}\0`;
  const metaBytesMax = 3 * meta.length;  // of a UTF-16 unit in UTF-8
  const bodyBytesMax = typeof body === 'string' ? 3 * body.length : body.length;
  const bytesMax = kHeaderBytes + metaBytesMax + bodyBytesMax;
  const frame = bytesMax <= departure.length ? departure : Buffer.allocUnsafeSlow(bytesMax);
  const metaBytes = frame.utf8Write(meta, kHeaderBytes);
  if (metaBytes > kMetaBytesMax) throw new RangeError('the frame has no room for this meta');
  const bodyAt = kHeaderBytes + metaBytes;
  const bodyBytes = typeof body === 'string' ? frame.utf8Write(body, bodyAt) : body.length;
  if (typeof body !== 'string') frame.set(body, bodyAt);
  frame.writeUInt32LE(kMagic, 0);
  frame.writeUInt32LE(type, 4);
  frame.writeUInt32LE(metaBytes, 8);
  frame.writeUInt32LE(bodyBytes, 12);
  frame.writeUInt32LE(call % k32Bits, 16);
  frame.writeUInt32LE(Math.floor(call / k32Bits), 20);
  const size = bodyAt + bodyBytes;
  for (let sent = 0; sent < size;) sent += writeSome(frame, sent, size);
}

// UTF-8, or Latin-1 as old clients send it in headers.
function text(bytes) {
  try {
    return utf8(bytes);
  } catch {
    return bytes.toString('latin1');
  }
}

const kBeyondAscii = /[^\0-\x7f]/;

// The texts of a received meta: a name, its value, the next name and so on.
function texts(meta) {
  const all = meta.latin1Slice();
  const parts = all.split('\0');
  if (parts.pop() !== '' || parts.length % 2 !== 0) throw new Error('meta is no list of pairs');
  if (!kBeyondAscii.test(all)) return parts;
  return parts.map((part) => text(Buffer.from(part, 'latin1')));
}

module.exports = {
  HELLO, LOAD, READY, CALL, REPLY, ERROR, LAST_CALL, hasten, receive, send, texts,
};
