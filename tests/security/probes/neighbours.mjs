// SPDX-License-Identifier: Apache-2.0
// Attempts of a nodejs function on its init: neighbours.py where Node.js has a way. As a program it
// makes the one that its argument names.
import * as fs from 'node:fs';
import os from 'node:os';
import process from 'node:process';

const attempts = {
  kill: () => process.kill(1, 'SIGKILL'),
  stop: () => process.kill(1, 'SIGSTOP'),
  debug: () => process._debugProcess(1),
  slow_down: () => os.setPriority(1, 19),
  open_memory: () => fs.openSync('/proc/1/mem', 'r'),
  see_maps: () => fs.readFileSync('/proc/1/maps'),
  see_environment: () => fs.readFileSync('/proc/1/environ'),
  see_program: () => fs.readlinkSync('/proc/1/exe'),
  see_descriptors: () => fs.readdirSync('/proc/1/fd'),
  enter_root: () => fs.readdirSync('/proc/1/root/'),
};

function verdict(name) {
  try {
    attempts[name]();
    return { worked: true, detail: 'done' };
  } catch (error) {
    return { worked: false, detail: error.info?.code ?? error.code ?? error.message };
  }
}

export async function handle({ attempt }) {
  return verdict(attempt);
}

if (process.argv[2] in attempts) console.log(JSON.stringify(verdict(process.argv[2])));
