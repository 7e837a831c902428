// SPDX-License-Identifier: Apache-2.0
// A Node handler behind the bare forwarder: bodies come in at descriptor 3, answers go out.
//
// Usage: worker.js FILE, which exports handle(event, context).
'use strict';
const net = require('net');
const { handle } = require(process.argv[2]);

const channel = new net.Socket({ fd: 3, readable: true, writable: true });
let data = Buffer.alloc(0);

async function answer(body) {
  const text = Buffer.from(JSON.stringify(await handle({ body: body.toString() })));
  const message = Buffer.allocUnsafe(4 + text.length);
  message.writeUInt32LE(text.length, 0);
  text.copy(message, 4);
  channel.write(message);
}

channel.on('data', (piece) => {
  data = data.length === 0 ? piece : Buffer.concat([data, piece]);
  if (data.length < 4 || data.length < 4 + data.readUInt32LE(0)) return;
  const body = data.subarray(4);
  data = Buffer.alloc(0);
  answer(body);
});
channel.on('end', () => process.exit(0));
