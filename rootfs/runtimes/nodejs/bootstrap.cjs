// SPDX-License-Identifier: Apache-2.0
// Hearth's nodejs runtime; run as `node bootstrap.cjs`. See hearth-runtime(7).
//
// The channel is read and written by blocking calls: between two calls no timer and no promise of
// the function runs, so that no work happens that belongs to no call. While a call runs, hearthd
// sends nothing.
'use strict';
const process = require('node:process');
const { serveCall, interrupted } = require('./call.cjs');
const channel = require('./channel.cjs');
const { Failure, fromThrown, sendFailure } = require('./failure.cjs');
const { loadHandler, parseOrder, prepare } = require('./load.cjs');
const { makeOutputSynchronous } = require('./output.cjs');

const kExitLoadFailed = 1;
const kExitChannelBroken = 2;

let stage = 'starting';

function finish(status) {
  stage = 'ended';
  process.exit(status);
}

function channelBroke(error) {
  process.stderr.write(`hearth: ${error.message}\n`);
  finish(kExitChannelBroken);
}

async function load() {
  const frame = channel.receive(channel.LOAD);
  if (frame === null) finish(0);
  stage = 'loading';
  const order = parseOrder(frame.meta);
  if (order.mode === 'process') channel.hasten();
  prepare(order);
  const handler = await loadHandler(order.handler, order.taskDir);
  channel.send(channel.READY, 0, [['fork', '0']]);
  stage = 'ready';
  return { handler, mode: order.mode };
}

function serveNext(handler, mode) {
  let frame = null;
  try {
    frame = channel.receive(channel.CALL);
  } catch (error) {
    channelBroke(error);
  }
  if (frame === null) finish(0);
  const last = mode !== 'process' || (frame.flags & channel.LAST_CALL) !== 0;
  serveCall(frame, handler, (error) => {
    if (error) channelBroke(error);
    if (last) finish(0);
    // What the call left in the queues runs in the next one's time, as it does in AWS Lambda.
    setImmediate(serveNext, handler, mode);
  });
}

// What nobody caught: it ends the load or the call that runs.
function onUncaught(thrown, origin) {
  if (stage === 'loading') {
    sendFailure(fromThrown('load_error', thrown), 0);
    finish(kExitLoadFailed);
  }
  if (stage !== 'ready') channelBroke(thrown);
  if (interrupted(thrown, origin)) return;
  // Left over from a call that has its answer: the next one is not to blame.
  const { type, message, stack } = fromThrown('function_error', thrown);
  process.stderr.write(`[ERROR] after the reply: ${type}: ${message}\n${stack}\n`);
}

// User code called process.exit(), or waits for what cannot come.
function onExit(status) {
  if (stage === 'loading') {
    const message = status === 0
      ? 'the module ended the process while it was loaded, or waits for what can never come'
      : `the module ended the process while it was loaded: exit status ${status}`;
    sendFailure(new Failure('load_error', 'Runtime.ExitError', message), 0);
    process.exitCode = status || kExitLoadFailed;
  } else if (stage === 'ready') {
    const message = `the handler ended the process: exit status ${status}`;
    interrupted(new Failure('function_error', 'Runtime.ExitError', message), 'exit');
  }
}

async function live() {
  makeOutputSynchronous();
  process.on('uncaughtException', onUncaught);
  process.on('exit', onExit);
  const version = process.versions.node;
  channel.send(channel.HELLO, 0, [['runtime', 'nodejs'], ['version', version]]);
  const { handler, mode } = await load();
  setImmediate(serveNext, handler, mode);
}

live().catch((thrown) => onUncaught(thrown, 'uncaughtException'));
