// SPDX-License-Identifier: Apache-2.0
// Frames between hearthd and this process, on descriptor 3.
import { readSync, writeSync } from 'node:fs';

const kChannel = 3;
const kMagic = 0x48545248;
const kHeaderBytes = 24;
const kMetaBytesMax = 64 * 1024;

export const HELLO = 1, LOAD = 2, READY = 3, CALL = 4, REPLY = 5, ERROR = 6;
export const LAST_CALL = 1;

// A small frame arrives by one read: hearthd sends one and waits for its answer.
const arrival = Buffer.allocUnsafeSlow(16 * 1024);

function readSome(buffer, at) {
  for (;;) {
    try {
      return readSync(kChannel, buffer, at, buffer.length - at, null);
    } catch (error) {
      if (error.code !== 'EINTR') throw error;
    }
  }
}

// Reads until `buffer`, which has `at` bytes, has `size`. false: end of file before the first byte.
function readUntil(buffer, at, size) {
  let have = at;
  while (have < size) {
    const got = readSome(buffer, have);
    if (got === 0 && have === 0) return false;
    if (got === 0) throw new Error('the channel ended inside a frame');
    have += got;
  }
  return have;
}

// Waits for a frame of this type; null at the end of the channel.
export function receive(expected) {
  const have = readUntil(arrival, 0, kHeaderBytes);
  if (have === false) return null;
  const metaBytes = arrival.readUInt32LE(8);
  const bodyBytes = arrival.readUInt32LE(12);
  if (arrival.readUInt32LE(0) !== kMagic || arrival[4] !== expected || metaBytes > kMetaBytesMax) {
    throw new Error(`no frame of type ${expected} on the channel`);
  }
  const flags = arrival[5];
  const call = arrival.readBigUInt64LE(16);
  const size = metaBytes + bodyBytes;
  if (have > kHeaderBytes + size) throw new Error('more than one frame on the channel');
  // Its own memory, not a slice of a shared one: user code may keep the body.
  const rest = Buffer.allocUnsafeSlow(size);
  arrival.copy(rest, 0, kHeaderBytes, have);
  if (readUntil(rest, have - kHeaderBytes, size) === false) {
    throw new Error('the channel ended inside a frame');
  }
  return { flags, call, meta: rest.subarray(0, metaBytes), body: rest.subarray(metaBytes) };
}

// `pairs` holds [name, value] texts without NUL.
export function send(type, call, pairs, body = '') {
  let meta = '';
  for (const [name, value] of pairs) meta += `${name}\0${value}\0`;
  const metaBytes = Buffer.byteLength(meta);
  const bodyBytes = Buffer.byteLength(body);
  if (metaBytes > kMetaBytesMax) throw new RangeError('the frame has no room for this meta');
  const frame = Buffer.allocUnsafe(kHeaderBytes + metaBytes + bodyBytes);
  frame.writeUInt32LE(kMagic, 0);
  frame.writeUInt32LE(type, 4);
  frame.writeUInt32LE(metaBytes, 8);
  frame.writeUInt32LE(bodyBytes, 12);
  frame.writeBigUInt64LE(BigInt(call), 16);
  frame.write(meta, kHeaderBytes);
  if (typeof body === 'string') frame.write(body, kHeaderBytes + metaBytes);
  else frame.set(body, kHeaderBytes + metaBytes);
  for (let sent = 0; sent < frame.length;) {
    sent += writeSync(kChannel, frame, sent, frame.length - sent);
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

// UTF-8, or Latin-1 as old clients send it in headers.
function text(bytes) {
  try {
    return utf8.decode(bytes);
  } catch {
    return bytes.toString('latin1');
  }
}

const kBeyondAscii = /[^\0-\x7f]/;

// [name, value] pairs of a received meta.
export function pairs(meta) {
  const found = [];
  const whole = meta.latin1Slice();
  if (!kBeyondAscii.test(whole)) {
    const parts = whole.split('\0');
    if (parts.pop() !== '' || parts.length % 2 !== 0) throw new Error('meta is no list of pairs');
    for (let i = 0; i < parts.length; i += 2) found.push([parts[i], parts[i + 1]]);
    return found;
  }
  for (let at = 0; at < meta.length;) {
    const nameEnd = meta.indexOf(0, at);
    const valueEnd = nameEnd < 0 ? -1 : meta.indexOf(0, nameEnd + 1);
    if (valueEnd < 0) throw new Error('meta is no list of pairs');
    found.push([text(meta.subarray(at, nameEnd)), text(meta.subarray(nameEnd + 1, valueEnd))]);
    at = valueEnd + 1;
  }
  return found;
}
