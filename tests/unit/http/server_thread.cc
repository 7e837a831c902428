// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/http/server_thread.h"

#include <sys/eventfd.h>

#include <chrono>
#include <stdexcept>

#include "daemon/loop/poll.h"
#include "daemon/loop/sleep.h"
#include "daemon/loop/task_set.h"
#include "sandbox/sys/error.h"

namespace hearth::http {
namespace {

using std::chrono::milliseconds;

struct Alive {
  explicit Alive(std::atomic<int>& c) : count(c) { ++count; }
  ~Alive() { --count; }
  std::atomic<int>& count;
};

size_t number(const std::string& text) {
  return text.empty() ? 0 : std::stoul(text);
}

}  // namespace

ServerThread::ServerThread(Limits limits, Admit admit, std::string unix_path)
    : limits_(limits),
      admit_(std::move(admit)),
      unix_path_(std::move(unix_path)),
      bell_(sys::check(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), "eventfd")),
      thread_([this] { run(); }) {
  done_.acquire();
}

ServerThread::~ServerThread() {
  stop_ = true;
  on_loop([](Server&) {});
  thread_.join();
}

void ServerThread::run() {
  loop::Loop loop;
  loop::TaskSet tasks(loop, [](std::exception_ptr) { std::abort(); });
  Server server(
      loop, limits_, [this, &loop](Request& request) { return handle(loop, request); }, admit_);
  port_ = server.listen_tcp("127.0.0.1", 0);
  if (!unix_path_.empty()) server.listen_unix(unix_path_, 0660);
  auto watch_drain = [](Server& s, std::atomic<bool>& flag) -> loop::Task<void> {
    co_await s.drained();
    flag = true;
  };
  tasks.add(watch_drain(server, drained));
  loop::Poll bell(loop, bell_.get());
  bell.on_readable([&] {
    uint64_t count = 0;
    if (::read(bell_.get(), &count, sizeof count) != sizeof count) return;
    job_(server);
    if (stop_) loop.stop();
    done_.release();
  });
  done_.release();
  loop.run();
}

void ServerThread::on_loop(const std::function<void(Server&)>& function) {
  std::lock_guard lock(mutex_);
  job_ = function;
  uint64_t one = 1;
  sys::check(::write(bell_.get(), &one, sizeof one), "write", "eventfd");
  done_.acquire();
}

Counters ServerThread::counters() {
  Counters counters;
  on_loop([&](Server& server) { counters = server.counters(); });
  return counters;
}

bool ServerThread::wait_for(const std::function<bool(const Counters&)>& wanted) {
  for (int i = 0; i < 5000; ++i) {
    if (wanted(counters())) return true;
    std::this_thread::sleep_for(milliseconds(2));
  }
  return false;
}

loop::Task<void> ServerThread::stream(loop::Loop& loop, ResponseStream& out, int pieces) {
  Alive alive(handlers_alive);
  for (int i = 0; pieces < 0 || i < pieces; ++i) {
    std::string piece = "piece " + std::to_string(i) + "\n";
    if (pieces < 0) piece.resize(64 * 1024, '.');
    co_await out.write(piece);
    if (i % 2) co_await loop::Sleep(loop, milliseconds(0));
  }
}

loop::Task<Response> ServerThread::handle(loop::Loop& loop, Request& request) {
  Alive alive(handlers_alive);
  Response response;
  const std::string& path = request.path;
  if (path == "/hello") response.body = "hello";
  if (path == "/echo") response.body = std::move(request.body);
  if (path == "/query") response.body = request.query;
  if (path == "/big") response.body.assign(number(request.query), 'b');
  if (path == "/throw") throw std::runtime_error("handler");
  if (path == "/wait") co_await loop::Sleep(loop, std::chrono::hours(1));
  if (path == "/release") {
    while (!released_) co_await loop::Sleep(loop, milliseconds(1));
    response.body = "released";
  }
  if (path == "/status") {
    response.status = static_cast<int>(number(request.query));
    response.body = "x";
  }
  if (path == "/peer") {
    const Peer& peer = request.peer;
    response.body = peer.unix ? "unix " + std::to_string(peer.uid) + " " + std::to_string(peer.pid)
                              : "tcp " + peer.address;
  }
  if (path == "/file" && request.body_file) {
    response.body = request.body_file->path() + " " + std::to_string(request.body_file->bytes());
  }
  if (path == "/stream") {
    int pieces = static_cast<int>(number(request.query));
    response.stream = [this, &loop, pieces](ResponseStream& out) {
      return stream(loop, out, pieces);
    };
  }
  if (path == "/flood") {
    response.stream = [this, &loop](ResponseStream& out) { return stream(loop, out, -1); };
  }
  if (path == "/stream-throw") {
    response.stream = [](ResponseStream& out) -> loop::Task<void> {
      co_await out.write("one");
      throw std::runtime_error("stream");
    };
  }
  co_return response;
}

}  // namespace hearth::http
