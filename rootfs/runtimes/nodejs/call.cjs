// SPDX-License-Identifier: Apache-2.0
// One call: its event, the handler in each of the styles that AWS Lambda knows, its answer.
'use strict';
const process = require('node:process');
const channel = require('./channel.cjs');
const { Failure, fromThrown, sendFailure } = require('./failure.cjs');
const { utf8 } = require('./text.cjs');
const { answerOf, eventOf } = require('./web.cjs');

let running = null;

// Calls `onDone` when the answer has left, with the error if it could not leave; after that nothing
// the handler does can change it.
function serveCall(frame, handler, onDone) {
  const meta = new CallMeta(channel.texts(frame.meta));
  const call = new Call(frame.call, meta, onDone);
  running = call;
  try {
    const event = call.byHttp ? eventOf(meta, frame.body) : jsonEvent(frame.body);
    call.run(handler, event);
  } catch (thrown) {
    call.fail(thrown);
  }
}

// An exception that nobody caught, or the end of the process. false: no call was running.
function interrupted(thrown, origin) {
  if (running === null) return false;
  const type = origin === 'unhandledRejection' ? 'Runtime.UnhandledPromiseRejection' : undefined;
  running.fail(fromThrown('function_error', thrown, type));
  return true;
}

// The event loop has nothing left to do: the last chance to answer.
process.on('beforeExit', () => running?.loopIsEmpty());

function jsonEvent(body) {
  if (body.length === 0) return {};
  try {
    return JSON.parse(utf8(body).replace(/^\ufeff/, ''));
  } catch (error) {
    const message = `Unable to unmarshal input: ${error.message}`;
    throw new Failure('function_error', 'Runtime.UnmarshalError', message);
  }
}

// What hearthd says about a call: hearth-runtime(7) lists the names.
class CallMeta {
  request_id = '';
  deadline_ms = '0';
  trigger = '';
  method = '';
  path = '/';
  query = '';
  protocol = 'HTTP/1.1';
  source_ip = '';
  time_ms = '0';
  headers = {};

  constructor(texts) {
    for (let i = 0; i < texts.length; i += 2) {
      const name = texts[i], value = texts[i + 1];
      if (name.startsWith('h:')) this.#addHeader(name.slice(2), value);
      else if (Object.hasOwn(this, name) && name !== 'headers') this[name] = value;
    }
  }

  #addHeader(name, value) {
    const { headers } = this;
    const before = Object.hasOwn(headers, name) ? headers[name] : null;
    const joined = before === null ? value : before + (name === 'cookie' ? '; ' : ',') + value;
    if (name === '__proto__') {
      Object.defineProperty(headers, name, {
        value: joined, enumerable: true, writable: true, configurable: true,
      });
    } else {
      headers[name] = joined;
    }
  }
}

class Call {
  #number;
  #meta;
  #onDone;
  #context;
  #isPromise = false;
  #waiting = null;  // the result of a callback that lets the event loop run empty first

  constructor(number, meta, onDone) {
    this.#number = number;
    this.#meta = meta;
    this.#onDone = onDone;
    this.byHttp = meta.trigger === 'http';
  }

  run(handler, event) {
    const callback = (error, result) => this.#calledBack(error, result);
    this.#context = makeContext(this.#meta, (error, result) => {
      this.#context.callbackWaitsForEmptyEventLoop = false;
      callback(error, result);
    });
    const returned = handler(event, this.#context, callback);
    if (typeof returned?.then !== 'function') return;
    this.#isPromise = true;
    returned.then((result) => this.reply(result), (thrown) => this.fail(thrown));
  }

  #calledBack(error, result) {
    if (running !== this || this.#waiting !== null) return;
    if (error !== undefined && error !== null) this.fail(error);
    else if (this.#context.callbackWaitsForEmptyEventLoop) this.#waiting = { result };
    else this.reply(result);
  }

  loopIsEmpty() {
    if (this.#waiting !== null) return this.reply(this.#waiting.result);
    if (!this.#isPromise) return this.reply(null);
    const message = 'the promise of the handler can never settle: nothing is left to wait for';
    return this.fail(new Failure('function_error', 'Runtime.NeverSettled', message));
  }

  reply(result) {
    if (running !== this) return;
    let answer;
    try {
      answer = this.byHttp ? answerOf(result) : jsonAnswer(result);
    } catch (thrown) {
      const message = `Unable to marshal response: ${thrown?.message}`;
      this.fail(fromThrown('bad_reply', thrown, 'Runtime.MarshalError', message));
      return;
    }
    this.#end(() => channel.send(channel.REPLY, this.#number, answer.pairs, answer.body));
  }

  fail(thrown) {
    if (running !== this) return;
    this.#end(() => sendFailure(fromThrown('function_error', thrown), this.#number));
  }

  // Everything written to stdout and stderr has left already: see output.mjs.
  #end(answer) {
    running = null;
    let error = null;
    try {
      answer();
    } catch (thrown) {
      error = thrown;
    }
    this.#onDone(error);
  }
}

function jsonAnswer(result) {
  const text = JSON.stringify(result === undefined ? null : result);
  if (text === undefined) throw new TypeError(`a ${typeof result} is no JSON value`);
  return { pairs: [['content_type', 'application/json']], body: text };
}

let described = null;

// What all calls share. Once, when the environment is complete: each look into it is a call to C.
function describeFunction() {
  const { env } = process;
  const name = env.AWS_LAMBDA_FUNCTION_NAME ?? '';
  const region = env.AWS_REGION ?? 'local';
  return {
    functionName: name,
    functionVersion: env.AWS_LAMBDA_FUNCTION_VERSION ?? '',
    invokedFunctionArn: `arn:aws:lambda:${region}:000000000000:function:${name}`,
    memoryLimitInMB: env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE ?? '',
    logGroupName: env.AWS_LAMBDA_LOG_GROUP_NAME ?? `/aws/lambda/${name}`,
    logStreamName: env.AWS_LAMBDA_LOG_STREAM_NAME ?? '',
  };
}

function makeContext(meta, done) {
  described ??= describeFunction();
  const shared = described;
  const deadline = Number(meta.deadline_ms);
  return {
    callbackWaitsForEmptyEventLoop: true,
    functionName: shared.functionName,
    functionVersion: shared.functionVersion,
    invokedFunctionArn: shared.invokedFunctionArn,
    memoryLimitInMB: shared.memoryLimitInMB,
    awsRequestId: meta.request_id,
    logGroupName: shared.logGroupName,
    logStreamName: shared.logStreamName,
    identity: undefined,
    clientContext: undefined,
    getRemainingTimeInMillis: () => Math.max(0, deadline - Date.now()),
    done,
    succeed: (result) => done(null, result),
    fail: (error) => done(error ?? new Error('the handler failed without saying why')),
  };
}

module.exports = { serveCall, interrupted };
