// SPDX-License-Identifier: Apache-2.0
// Calls by HTTP: AWS Lambda's function-URL payload, format 2.0, both ways.
'use strict';
const process = require('node:process');
const { Failure } = require('./failure.cjs');
const { utf8 } = require('./text.cjs');

const kHeadersBytesMax = 60 * 1024;
const kTextType = new RegExp(
  '^(text/|[a-z]+/([^;]*[+.-])?((nd)?json|xml|javascript|x-www-form-urlencoded)\\s*(;|$))',
);
const kHeaderName = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const kMonths = 'Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split(' ');

let functionName = null;

// The event of a call by HTTP.
function eventOf(meta, body) {
  const { headers } = meta;
  const event = {
    version: '2.0',
    routeKey: '$default',
    rawPath: meta.path,
    rawQueryString: meta.query,
    headers,
    requestContext: requestContext(meta, headers),
    isBase64Encoded: false,
  };
  if (headers.cookie !== undefined) {
    event.cookies = headers.cookie.split(';').map((part) => part.trim()).filter(Boolean);
  }
  if (meta.query !== '') event.queryStringParameters = parameters(meta.query);
  if (body.length > 0) {
    event.body = textOf(headers, body);
    event.isBase64Encoded = event.body === null;
    event.body ??= body.toString('base64');
  }
  return event;
}

function requestContext(meta, headers) {
  const timeEpoch = Number(meta.time_ms) || Date.now();
  const domainName = headers.host ?? '';
  const domainEnd = domainName.indexOf('.');
  return {
    accountId: 'anonymous',
    apiId: (functionName ??= process.env.AWS_LAMBDA_FUNCTION_NAME ?? ''),
    domainName,
    domainPrefix: domainEnd < 0 ? domainName : domainName.slice(0, domainEnd),
    http: {
      method: meta.method,
      path: meta.path,
      protocol: meta.protocol,
      sourceIp: meta.source_ip,
      userAgent: headers['user-agent'] ?? '',
    },
    requestId: meta.request_id,
    routeKey: '$default',
    stage: '$default',
    time: timeOf(timeEpoch),
    timeEpoch,
  };
}

const lastTime = { second: NaN, text: '' };

// As in the common log format, UTC. Calls of the same second share it.
function timeOf(epochMs) {
  const second = Math.floor(epochMs / 1000);
  if (second === lastTime.second) return lastTime.text;
  const at = new Date(epochMs);
  const two = (number) => String(number).padStart(2, '0');
  lastTime.second = second;
  lastTime.text = `${two(at.getUTCDate())}/${kMonths[at.getUTCMonth()]}/${at.getUTCFullYear()}` +
    `:${two(at.getUTCHours())}:${two(at.getUTCMinutes())}:${two(at.getUTCSeconds())} +0000`;
  return lastTime.text;
}

function parameters(query) {
  const found = new Map();
  for (const [name, value] of new URLSearchParams(query)) {
    found.set(name, found.has(name) ? `${found.get(name)},${value}` : value);
  }
  return Object.fromEntries(found);
}

// The body of what is said to be text; null when it is not said, or is none.
function textOf(headers, body) {
  if (!kTextType.test((headers['content-type'] ?? '').toLowerCase())) return null;
  try {
    return utf8(body);
  } catch {
    return null;
  }
}

// { pairs, body } for what a handler returned; throws Failure.
function answerOf(result) {
  const isAnswer = typeof result === 'object' && result !== null && 'statusCode' in result;
  if (!isAnswer) {
    const text = JSON.stringify(result === undefined ? null : result);
    if (text === undefined) throw bad(`a ${typeof result} is no JSON value`);
    const pairs = [['status', '200'], ['content_type', 'application/json']];
    return { pairs, body: text };
  }
  const pairs = [['status', status(result.statusCode)]];
  let contentType = 'application/json';
  for (const [name, value] of answerHeaders(result)) {
    if (name === 'content-type') contentType = value;
    else pairs.push([`h:${name}`, value]);
  }
  pairs.push(['content_type', contentType]);
  const bytes = pairs.reduce((sum, [name, value]) => sum + Buffer.byteLength(name + value) + 2, 0);
  if (bytes > kHeadersBytesMax) throw bad(`the headers have more than ${kHeadersBytesMax} bytes`);
  return { pairs, body: answerBody(result) };
}

const bad = (message) => new Failure('bad_reply', 'Runtime.BadReply', message);

function status(given) {
  const number = typeof given === 'string' && /^\d+$/.test(given) ? Number(given) : given;
  if (!Number.isInteger(number) || number < 200 || number > 599) {
    throw bad(`statusCode is no number between 200 and 599: ${String(given).slice(0, 100)}`);
  }
  return String(number);
}

function answerHeaders(result) {
  const fields = [];
  for (const key of ['headers', 'multiValueHeaders']) {
    const given = result[key] ?? {};
    if (typeof given !== 'object' || Array.isArray(given)) throw bad(`${key} is no object`);
    for (const [name, values] of Object.entries(given)) {
      for (const value of Array.isArray(values) ? values : [values]) {
        fields.push(header(name, value));
      }
    }
  }
  const cookies = result.cookies ?? [];
  if (!Array.isArray(cookies)) throw bad('cookies is no list');
  return fields.concat(cookies.map((cookie) => header('set-cookie', cookie)));
}

function header(name, given) {
  if (!kHeaderName.test(name)) throw bad(`no valid header name: ${name.slice(0, 100)}`);
  const value = ['number', 'boolean'].includes(typeof given) ? String(given) : given;
  if (typeof value !== 'string' || /[\0\r\n]/.test(value)) {
    throw bad(`no valid value of header ${name}`);
  }
  return [name.toLowerCase(), value];
}

function answerBody(result) {
  const body = result.body ?? '';
  if (typeof body !== 'string') {
    throw bad(`body is no string but ${typeof body}; JSON.stringify it`);
  }
  if (!result.isBase64Encoded) return body;
  if (!/^[A-Za-z0-9+/\s]*={0,2}\s*$/.test(body)) throw bad('isBase64Encoded, but the body is not');
  return Buffer.from(body, 'base64');
}

module.exports = { eventOf, answerOf };
