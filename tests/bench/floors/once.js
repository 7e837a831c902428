// SPDX-License-Identifier: Apache-2.0
// A Node handler in a process of its own: one body from standard input, its answer to standard
// output. Usage: once.js FILE.
'use strict';
const fs = require('fs');
const { handle } = require(process.argv[2]);

handle({ body: fs.readFileSync(0, 'utf8') }).then((answer) => {
  fs.writeSync(1, JSON.stringify(answer));
  process.exit(0);
});
