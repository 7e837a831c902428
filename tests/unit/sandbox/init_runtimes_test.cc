// SPDX-License-Identifier: Apache-2.0
// The languages that functions are written in do their usual work behind the filter.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include "tests/unit/sandbox/init_box.h"

namespace hearth::sandbox {
namespace {

// Runs a program to its end; what it wrote to stderr is part of the answer.
std::string run(std::vector<std::string> argv) {
  Box box;
  box.send(control::Start{control::Stdio::kRaw,
                          control::Role::kServer,
                          std::move(argv),
                          {"PATH=/usr/bin", "HOME=/tmp", "LANG=C.UTF-8"}});
  control::Started program = box.next_started();
  program.in.reset();
  std::string out = read_all(program.out.get());
  std::string err = read_all(program.log_err.get());
  int status = box.next_exited().wait_status;
  return out + err + (status == 0 ? "" : "status " + std::to_string(status));
}

TEST(InitRuntimes, Shell) {
  EXPECT_EQ(run({"/usr/bin/sh", "-c",
                 "trap 'echo trapped' TERM; kill -TERM $$; trap - TERM; "
                 "seq 3 | (while read n; do echo $n; done) | sort -r > /tmp/x; cat /tmp/x; "
                 "cp /tmp/x /tmp/y; sync; cmp /tmp/x /tmp/y; "
                 "sleep 60 & kill $!; wait; echo $((6 * 7))"}),
            "trapped\n3\n2\n1\n42\n");
}

TEST(InitRuntimes, Busybox) {
  EXPECT_EQ(run({"/usr/bin/busybox", "sh", "-c",
                 "mkdir -p /tmp/a/b; echo x > /tmp/a/b/c; cp -a /tmp/a /tmp/d; tar cf - -C /tmp d "
                 "| gzip | gunzip | tar tf - | wc -l; find /tmp/d -type f; chmod 600 /tmp/d/b/c; "
                 "touch /tmp/d/b/c; rm -r /tmp/d; ls /tmp; nice -n 5 true; id -u"}),
            "3\n/tmp/d/b/c\na\n1000\n");
}

constexpr const char* kPython = R"(
import asyncio, concurrent.futures, ctypes, json, mmap, multiprocessing, os, shutil, signal
import socket, sqlite3, subprocess, tempfile, threading, time
socket.getaddrinfo('localhost', 80)
with socket.create_server(('127.0.0.1', 0)) as server:
    socket.create_connection(server.getsockname()).close()
with concurrent.futures.ThreadPoolExecutor(4) as pool: list(pool.map(time.sleep, [0.01] * 8))
with multiprocessing.Pool(2) as pool: assert pool.map(abs, [-1, -2]) == [1, 2]
assert subprocess.run(['echo', 'x'], capture_output=True, text=True).stdout == 'x\n'
child = subprocess.Popen(['sleep', '60']); child.kill(); assert child.wait() == -signal.SIGKILL
async def tasks():
    process = await asyncio.create_subprocess_exec('true')
    await asyncio.gather(process.wait(), asyncio.sleep(0.01))
asyncio.run(tasks())
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, 'a'); open(path, 'w').write('x' * 100000)
    shutil.copy2(path, path + '2'); os.chmod(path, 0o600); os.utime(path)
    database = sqlite3.connect(os.path.join(folder, 'db')); database.execute('create table t(x)')
    database.commit(); database.close()
    with open(path, 'r+b') as file: mmap.mmap(file.fileno(), 0).close()
signal.signal(signal.SIGALRM, lambda *_: None); signal.setitimer(signal.ITIMER_REAL, 0.01)
signal.pause(); os.kill(os.getpid(), 0); os.nice(1)
os.sched_setaffinity(0, os.sched_getaffinity(0))
socket.if_nameindex(); os.getrandom(8); ctypes.CDLL(None).getpid()
print('done')
)";

TEST(InitRuntimes, Python) {
  EXPECT_EQ(run({"/usr/bin/python3", "-I", "-c", kPython}), "done\n");
}

constexpr const char* kNode = R"(
const fs = require('fs'), os = require('os'), zlib = require('zlib'), http = require('http');
const { Worker } = require('worker_threads'), { execFileSync } = require('child_process');
(async () => {
  await require('dns').promises.lookup('localhost');
  if (!os.networkInterfaces().lo) throw new Error('no lo');
  if (execFileSync('echo', ['x']).toString() !== 'x\n') throw new Error('child');
  await fs.promises.writeFile('/tmp/a', 'x'.repeat(100000));
  await fs.promises.copyFile('/tmp/a', '/tmp/b');
  await fs.promises.rm('/tmp/a');
  await new Promise((done, failed) =>
    new Worker('1', { eval: true }).on('exit', done).on('error', failed));
  await new Promise((done) => zlib.gzip('x', done));
  require('crypto').pbkdf2Sync('a', 'b', 1000, 32, 'sha256');
  new WebAssembly.Module(Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0));
  const server = http.createServer((_, reply) => reply.end('hello')).listen(0, '127.0.0.1');
  await new Promise((done) => server.on('listening', done));
  const answer = await fetch('http://127.0.0.1:' + server.address().port);
  if (await answer.text() !== 'hello') throw new Error('http');
  server.close();
  let sum = 0;
  for (let i = 0; i < 5e6; ++i) sum += i % 7;
  console.log('done');
  process.kill(process.pid, 0);
  process.exit(0);
})();
)";

TEST(InitRuntimes, Node) {
  EXPECT_EQ(run({"/usr/bin/node", "-e", kNode}), "done\n");
}

}  // namespace
}  // namespace hearth::sandbox
