// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <semaphore>
#include <string>
#include <string_view>
#include <thread>

#include "daemon/http/server.h"
#include "daemon/loop/loop.h"
#include "sandbox/sys/fd.h"

namespace hearth::http {

// A server on a loop in a thread of its own, on a free port of the loopback. Its handler:
//   /hello          a fixed answer            /echo            the body
//   /query          the query                 /peer            who asks
//   /wait           never answers             /release         answers once release() is called
//   /big?N          N bytes                   /stream?N        N pieces `piece I\n`
//   /flood          a stream without end      /throw           an exception
//   /stream-throw   one piece, an exception   /status?N        that status, body "x"
//   /file           where the body's file is, and its length
class ServerThread {
 public:
  explicit ServerThread(Limits limits = {}, Admit admit = {}, std::string unix_path = {});
  ~ServerThread();

  uint16_t port() const { return port_; }
  // Runs a function on the server's thread and waits for it.
  void on_loop(const std::function<void(Server&)>& function);
  Counters counters();
  // Waits until the counters are as wanted. False: not within ten seconds.
  bool wait_for(const std::function<bool(const Counters&)>& wanted);
  void release() { released_ = true; }

  std::atomic<int> handlers_alive = 0;  // frames of handlers and streams
  std::atomic<bool> drained = false;

 private:
  void run();
  loop::Task<Response> handle(loop::Loop& loop, Request& request);
  loop::Task<void> stream(loop::Loop& loop, ResponseStream& out, int pieces);

  Limits limits_;
  Admit admit_;
  std::string unix_path_;
  uint16_t port_ = 0;
  std::atomic<bool> released_ = false;
  sys::Fd bell_;
  std::mutex mutex_;
  std::function<void(Server&)> job_;
  bool stop_ = false;
  std::binary_semaphore done_{0};
  std::thread thread_;
};

struct Answer {
  int status = 0;
  std::string head;
  std::string body;  // without chunk framing
  bool complete = false;
  std::string header(std::string_view name) const;
};

// A blocking client on a raw socket. Everything gives up after ten seconds.
class Client {
 public:
  explicit Client(uint16_t port);
  explicit Client(const std::string& unix_path);
  explicit Client(sys::Fd connected) : fd_(std::move(connected)) {}

  bool send(std::string_view bytes);      // false: the server is gone
  std::string receive(size_t bytes);      // up to that many; less at the end of the connection
  std::string receive_all();              // until the end
  Answer answer(bool to_head = false);    // the next one
  Answer ask(std::string_view request) {  // send, answer
    send(request);
    return answer();
  }
  Answer get(std::string_view target) {
    return ask("GET " + std::string(target) + " HTTP/1.1\r\nHost: h\r\n\r\n");
  }
  bool at_end();  // the server closed, and nothing is left to read
  void finish_sending();
  void reset();  // RST
  void close() { fd_.reset(); }
  int fd() const { return fd_.get(); }

 private:
  bool fill();
  sys::Fd fd_;
  std::string buffer_;
};

sys::Fd connect_tcp(uint16_t port);
std::string post(std::string_view target, std::string_view body);
// The answer is the JSON error with that kind and limit (empty: null).
void expect_error(const Answer& answer, int status, std::string_view kind, std::string_view limit);

}  // namespace hearth::http
