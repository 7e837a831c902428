// SPDX-License-Identifier: Apache-2.0
// Frames between hearthd and this process, on descriptor 3.
import { readSync, writevSync } from 'node:fs';

const kChannel = 3;
const kMagic = 0x48545248;
const kHeaderBytes = 24;
const kMetaBytesMax = 64 * 1024;

export const HELLO = 1, LOAD = 2, READY = 3, CALL = 4, REPLY = 5, ERROR = 6;
export const LAST_CALL = 1;

const header = Buffer.alloc(kHeaderBytes);

function readSome(buffer, at) {
  for (;;) {
    try {
      return readSync(kChannel, buffer, at, buffer.length - at, null);
    } catch (error) {
      if (error.code !== 'EINTR') throw error;
    }
  }
}

// Fills `buffer`. false: end of file before the first byte.
function readAll(buffer) {
  let at = 0;
  while (at < buffer.length) {
    const got = readSome(buffer, at);
    if (got === 0 && at === 0) return false;
    if (got === 0) throw new Error('the channel ended inside a frame');
    at += got;
  }
  return true;
}

// Waits for a frame of this type; null at the end of the channel.
export function receive(expected) {
  if (!readAll(header)) return null;
  const metaBytes = header.readUInt32LE(8);
  const bodyBytes = header.readUInt32LE(12);
  if (header.readUInt32LE(0) !== kMagic || header[4] !== expected || metaBytes > kMetaBytesMax) {
    throw new Error(`no frame of type ${expected} on the channel`);
  }
  const flags = header[5];
  const call = header.readBigUInt64LE(16);
  // Its own memory, not a slice of a shared pool: user code may keep the body.
  const rest = Buffer.allocUnsafeSlow(metaBytes + bodyBytes);
  if (rest.length > 0 && !readAll(rest)) throw new Error('the channel ended inside a frame');
  return { flags, call, meta: rest.subarray(0, metaBytes), body: rest.subarray(metaBytes) };
}

// `pairs` holds [name, value] texts without NUL.
export function send(type, call, pairs, body = Buffer.alloc(0)) {
  const meta = Buffer.from(pairs.map(([name, value]) => `${name}\0${value}\0`).join(''));
  if (meta.length > kMetaBytesMax) throw new RangeError('the frame has no room for this meta');
  const start = Buffer.alloc(kHeaderBytes);
  start.writeUInt32LE(kMagic, 0);
  start[4] = type;
  start.writeUInt32LE(meta.length, 8);
  start.writeUInt32LE(body.length, 12);
  start.writeBigUInt64LE(BigInt(call), 16);
  let parts = [start, meta, body].filter((part) => part.length > 0);
  while (parts.length > 0) {
    let sent = writevSync(kChannel, parts);
    while (parts.length > 0 && sent >= parts[0].length) sent -= parts.shift().length;
    if (sent > 0) parts[0] = parts[0].subarray(sent);
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

// [name, value] pairs of a received meta.
export function pairs(meta) {
  const found = [];
  for (let at = 0; at < meta.length;) {
    const nameEnd = meta.indexOf(0, at);
    const valueEnd = nameEnd < 0 ? -1 : meta.indexOf(0, nameEnd + 1);
    if (valueEnd < 0) throw new Error('meta is no list of pairs');
    found.push([text(meta.subarray(at, nameEnd)), text(meta.subarray(nameEnd + 1, valueEnd))]);
    at = valueEnd + 1;
  }
  return found;
}
