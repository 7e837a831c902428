// SPDX-License-Identifier: Apache-2.0
// What a *load* frame asks for: environment, and the handler.
'use strict';
const { existsSync, readFileSync, statSync } = require('node:fs');
const { createRequire, syncBuiltinESMExports } = require('node:module');
const os = require('node:os');
const path = require('node:path');
const process = require('node:process');
const channel = require('./channel.cjs');
const { Failure, fromThrown } = require('./failure.cjs');

const kKind = 'load_error';

function parseOrder(meta) {
  const order = { env: [], handler: '', mode: 'process', taskDir: '/var/task' };
  const texts = channel.texts(meta);
  for (let i = 0; i < texts.length; i += 2) {
    const name = texts[i], value = texts[i + 1];
    if (name.startsWith('env:')) order.env.push([name.slice(4), value]);
    else if (name === 'task_dir') order.taskDir = value;
    else if (name === 'handler' || name === 'mode') order[name] = value;
  }
  return order;
}

// A sandbox' /proc shows processes only, where Node finds no processors; programs divide their work
// by os.cpus().length.
function countProcessors() {
  const { cpus } = os;
  const unknown = () => ({
    model: 'unknown', speed: 0, times: { user: 0, nice: 0, sys: 0, idle: 0, irq: 0 },
  });
  os.cpus = () => {
    const found = cpus();
    if (found.length > 0) return found;
    return Array.from({ length: os.availableParallelism?.() ?? 1 }, unknown);
  };
  syncBuiltinESMExports();
}

// Everything that user code may rely on when it is loaded.
function prepare(order) {
  countProcessors();
  for (const [name, value] of order.env) process.env[name] = value;
  try {
    process.chdir(order.taskDir);
  } catch (error) {
    throw new Failure(kKind, 'Runtime.InvalidTaskDir', error.message);
  }
  // As if a file of the task folder had been started.
  process.argv[1] = path.join(order.taskDir, 'index.js');
}

// The function that `module.function` or `folder/module.object.function` names; throws Failure.
async function loadHandler(name, taskDir) {
  const match = /^([^.]+)\.(.+)$/.exec(path.basename(name));
  if (match === null || name.split('/').includes('..')) {
    const message = `Bad handler '${name}': it is not of the form module.function`;
    throw new Failure(kKind, 'Runtime.MalformedHandlerName', message);
  }
  const [, moduleName, functionPath] = match;
  const wanted = path.join(path.dirname(name), moduleName);
  const loaded = await loadModule(wanted, taskDir);
  for (const root of [loaded, loaded?.default]) {
    const found = functionPath.split('.').reduce((object, key) => object?.[key], root);
    if (typeof found === 'function') return found;
  }
  const message = `${functionPath} is no function that '${wanted}' exports`;
  throw new Failure(kKind, 'Runtime.HandlerNotFound', message);
}

function find(wanted, taskDir) {
  const base = path.resolve(taskDir, wanted);
  const endings = ['', '.js', '.mjs', '.cjs', '/index.js', '/index.mjs', '/index.cjs'];
  const isFile = (file) => existsSync(file) && statSync(file).isFile();
  const file = endings.map((ending) => base + ending).find(isFile);
  if (file !== undefined) return file;
  const message = `Cannot find module '${wanted}' in ${taskDir}`;
  throw new Failure(kKind, 'Runtime.ImportModuleError', message);
}

async function loadModule(wanted, taskDir) {
  const file = find(wanted, taskDir);
  try {
    if (isEsModule(file)) return await import(require('node:url').pathToFileURL(file).href);
    return createRequire(file)(file);
  } catch (thrown) {
    if (thrown?.code === 'MODULE_NOT_FOUND' || thrown?.code === 'ERR_MODULE_NOT_FOUND') {
      throw fromThrown(kKind, thrown, 'Runtime.ImportModuleError');
    }
    if (thrown instanceof SyntaxError) {
      throw fromThrown(kKind, thrown, 'Runtime.UserCodeSyntaxError');
    }
    throw fromThrown(kKind, thrown);
  }
}

// As Node decides it: by the name, else by "type" in the nearest package.json.
function isEsModule(file) {
  if (file.endsWith('.mjs')) return true;
  if (!file.endsWith('.js')) return false;
  for (let folder = path.dirname(file); ; folder = path.dirname(folder)) {
    const manifest = path.join(folder, 'package.json');
    if (existsSync(manifest)) return JSON.parse(readFileSync(manifest, 'utf8')).type === 'module';
    if (folder === path.dirname(folder)) return false;
  }
}

module.exports = { parseOrder, prepare, loadHandler };
