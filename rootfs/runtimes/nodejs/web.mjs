// SPDX-License-Identifier: Apache-2.0
// Calls by HTTP: AWS Lambda's function-URL payload, format 2.0, both ways.
import process from 'node:process';
import { Failure } from './failure.mjs';

const kHeadersBytesMax = 60 * 1024;
const kTextType = new RegExp(
  '^(text/|[a-z]+/([^;]*[+.-])?((nd)?json|xml|javascript|x-www-form-urlencoded)\\s*(;|$))',
);
const kHeaderName = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const kMonths = 'Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split(' ');

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
let functionName = null;

// The event of a call whose meta says `trigger` = `http`.
export function eventOf(pairs, body) {
  const meta = new Map();
  const headers = {};
  for (const [name, value] of pairs) {
    if (!name.startsWith('h:')) {
      meta.set(name, value);
      continue;
    }
    const header = name.slice(2);
    const before = Object.hasOwn(headers, header) ? headers[header] : null;
    const joined = before === null ? value : before + (header === 'cookie' ? '; ' : ',') + value;
    if (header === '__proto__') {
      Object.defineProperty(headers, header, {
        value: joined, enumerable: true, writable: true, configurable: true,
      });
    } else {
      headers[header] = joined;
    }
  }
  const event = {
    version: '2.0',
    routeKey: '$default',
    rawPath: meta.get('path') ?? '/',
    rawQueryString: meta.get('query') ?? '',
    headers,
    requestContext: requestContext(meta, headers),
    isBase64Encoded: false,
  };
  if (headers.cookie !== undefined) {
    event.cookies = headers.cookie.split(';').map((part) => part.trim()).filter(Boolean);
  }
  if (event.rawQueryString !== '') event.queryStringParameters = parameters(event.rawQueryString);
  if (body.length > 0) Object.assign(event, eventBody(headers, body));
  return event;
}

function requestContext(meta, headers) {
  const timeEpoch = Number(meta.get('time_ms') ?? 0) || Date.now();
  const at = new Date(timeEpoch);
  const two = (number) => String(number).padStart(2, '0');
  const domainName = headers.host ?? '';
  return {
    accountId: 'anonymous',
    apiId: (functionName ??= process.env.AWS_LAMBDA_FUNCTION_NAME ?? ''),
    domainName,
    domainPrefix: domainName.split('.')[0],
    http: {
      method: meta.get('method') ?? '',
      path: meta.get('path') ?? '/',
      protocol: meta.get('protocol') ?? 'HTTP/1.1',
      sourceIp: meta.get('source_ip') ?? '',
      userAgent: headers['user-agent'] ?? '',
    },
    requestId: meta.get('request_id') ?? '',
    routeKey: '$default',
    stage: '$default',
    time: `${two(at.getUTCDate())}/${kMonths[at.getUTCMonth()]}/${at.getUTCFullYear()}` +
      `:${two(at.getUTCHours())}:${two(at.getUTCMinutes())}:${two(at.getUTCSeconds())} +0000`,
    timeEpoch,
  };
}

function parameters(query) {
  const found = new Map();
  for (const [name, value] of new URLSearchParams(query)) {
    found.set(name, found.has(name) ? `${found.get(name)},${value}` : value);
  }
  return Object.fromEntries(found);
}

// Text, or base64 of what is not said to be text or is none.
function eventBody(headers, body) {
  if (kTextType.test((headers['content-type'] ?? '').toLowerCase())) {
    try {
      return { body: utf8.decode(body), isBase64Encoded: false };
    } catch {
      // Says text, is none.
    }
  }
  return { body: body.toString('base64'), isBase64Encoded: true };
}

// { pairs, body } for what a handler returned; throws Failure.
export function answerOf(result) {
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
