// SPDX-License-Identifier: Apache-2.0
// Bytes as text, or the knowledge that they are none.
'use strict';

let decoder = null;

// Throws TypeError for what is no UTF-8. A byte order mark stays.
function utf8(bytes) {
  decoder ??= new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  return decoder.decode(bytes);
}

module.exports = { utf8 };
