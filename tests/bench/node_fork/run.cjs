// SPDX-License-Identifier: Apache-2.0
// Would a zygote for node be worth having? Forks a running node (fork.c) and shows the rate, what
// works in the child and what does not, and for how long. The answer is in ../REASONS.md.
//
//   cc -shared -fPIC -O2 -I/usr/include/node fork.c -o /tmp/fork.node
//   node run.cjs /tmp/fork.node rate | probes | soak SECONDS [CALLS PER SECOND]
'use strict';

const fs = require('fs');
const { works, differs } = require('./probes.cjs');

const addon = require(process.argv[2]);
const LIMIT_MS = 5000;
const HEAVY = ['garbage', 'hotLoop', 'largeHeap'];  // not in the soak, which runs beside other work
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const all = { ...works, ...differs };

// Runs the probe in a forked child: its text, or how the child ended.
async function inChild(name) {
  const file = `/tmp/fork-${process.pid}.out`;
  fs.writeFileSync(file, '');
  const child = addon.fork();
  if (child === 0) {
    try {
      fs.writeFileSync(file, String(await all[name]()));
      addon.leave(0);
    } catch (error) {
      fs.writeFileSync(file, String(error));
      addon.leave(1);
    }
  }
  const begin = process.hrtime.bigint();
  let status = addon.poll(child);
  while (status === -1 && process.hrtime.bigint() - begin < LIMIT_MS * 1e6) {
    await sleep(1);
    status = addon.poll(child);
  }
  if (status === -1) {
    process.kill(child, 'SIGKILL');
    addon.wait(child);
    return 'hangs';
  }
  if (status & 0x7f) return `dies of signal ${status & 0x7f}`;
  return fs.readFileSync(file, 'utf8');
}

async function timed(work) {
  const begin = process.hrtime.bigint();
  const text = String(await work());
  return { text, ms: Number(process.hrtime.bigint() - begin) / 1e6 };
}

async function probes() {
  for (const [name, work] of Object.entries(works)) {
    const child = await timed(() => inChild(name));
    const here = await timed(work);
    const verdict = child.text === here.text ? 'works' : child.text;
    console.log(`${name.padEnd(22)} ${verdict}  (${child.ms.toFixed(1)} ms, here ${
        here.ms.toFixed(1)})`);
  }
  for (const [name, work] of Object.entries(differs)) {
    await work();  // as a function's module may have done when it was loaded
    const [one, two] = [await inChild(name), await inChild(name)];
    console.log(`${name.padEnd(22)} ${one === two ? `THE SAME IN TWO CALLS: ${one}` : 'works'}`);
  }
}

async function cycle() {
  const child = addon.fork();
  if (child === 0) {
    await sleep(0);
    JSON.stringify(JSON.parse('{"a":[1,2,3]}'));
    addon.leave(0);
  }
  return addon.wait(child);
}

async function rate() {
  const times = [];
  const cpu = process.cpuUsage(), children = addon.childrenCpu();
  for (let i = 0; i < 500; i++) times.push((await timed(cycle)).ms);
  const used = process.cpuUsage(cpu);
  times.sort((a, b) => a - b);
  console.log(`p50 ${times[250].toFixed(2)} ms, p99 ${times[495].toFixed(2)} ms; processor ${
      ((used.user + used.system) / 500).toFixed(0)} us in the parent, ${
      ((addon.childrenCpu() - children) / 500).toFixed(0)} in the child`);
}

async function soak(seconds, perSecond) {
  const names = Object.keys(works).filter((name) => !HEAVY.includes(name));
  const ends = {};
  const begin = Date.now();
  for (let i = 0; Date.now() - begin < seconds * 1000; i++) {
    const name = names[i % names.length];
    const text = await inChild(name);
    ends[name] ??= {};
    ends[name][text.slice(0, 40)] = (ends[name][text.slice(0, 40)] ?? 0) + 1;
    await sleep(1000 / perSecond);
    if (i % 1000 === 999) console.log(Math.round((Date.now() - begin) / 1000), 's', i + 1,
                                      'calls', process.memoryUsage.rss() >> 20, 'MB');
  }
  console.log(ends);
}

const [, , , mode, seconds, perSecond] = process.argv;
({ probes, rate, soak: () => soak(Number(seconds), Number(perSecond ?? 10)) })[mode]();
