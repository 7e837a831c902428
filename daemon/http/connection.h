// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <coroutine>
#include <list>
#include <optional>
#include <string>
#include <string_view>

#include "daemon/http/message.h"
#include "daemon/http/parser.h"
#include "daemon/loop/poll.h"
#include "daemon/loop/task.h"
#include "daemon/loop/timer.h"
#include "sandbox/sys/fd.h"

namespace hearth::http {

struct Shared;

// One client. A callback reads and parses; the coroutine serve() answers request after request.
// Reading goes on while a handler runs, so a client that goes away is noticed at once: the
// connection is then destroyed, and with it the handler's task.
class Connection {
 public:
  enum class Welcome { kServe, kRefuse };

  Connection(Shared& shared, sys::Fd fd, Peer peer, Welcome welcome);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void start(std::list<Connection>::iterator self);
  bool idle() const { return waiting_for_ == Wait::kIdle; }
  bool has_unread() const;
  // Idle, but a request is on its way: one was sent and not read yet, or the client has just come.
  bool expects_request() const { return idle() && (!answered_ || has_unread()); }
  void doom();  // destroys it from the loop, not from here

 private:
  friend class ResponseStream;
  using Parts = std::array<std::string_view, 3>;  // what is left to send
  enum class Wait { kNothing, kIdle, kHead, kBody, kWrite, kLinger };
  enum class Sent { kAll, kSome, kLost };

  // The awaiter of the next complete or refused request.
  struct NextRequest {
    Connection& connection;
    bool await_ready() const { return connection.pull(); }
    void await_suspend(std::coroutine_handle<> frame) const { connection.arrived_.park(frame); }
    void await_resume() const {}
  };

  // connection.cc: reading
  loop::Task<void> serve();
  void read_some();
  void receive(std::string_view data);
  std::size_t parse(std::string_view data);
  void admit(bool body_follows);
  void settle();
  bool pull();
  bool arrived() const;
  void watch(Wait what);
  void time_out();
  bool too_little(uint32_t bytes_min);
  bool account(uint64_t unsent = 0);
  loop::Task<void> linger();

  // connection_write.cc
  Sent try_write(Parts& parts);
  loop::Task<void> write_all(Parts parts);
  bool send_at_once(const Response& response, bool keep_alive, Parts& left);
  loop::Task<void> send_rest(Response& response, Parts left);
  loop::Task<void> send_stream(Response& response, bool keep_alive);
  Response cap(Response response) const;
  void send_continue();

  Shared& shared_;
  std::list<Connection>::iterator self_;
  Welcome welcome_;
  Request request_;
  Parser parser_;
  std::optional<Response> early_;  // what the route answers without the body
  std::string pending_;            // bytes behind the request being served
  std::size_t pending_used_ = 0;
  std::string unsent_head_;
  uint64_t accounted_ = 0;  // our part of the server's buffered_bytes
  uint64_t progress_ = 0;   // bytes moved in this period
  Wait waiting_for_ = Wait::kNothing;
  bool handling_ = false;
  bool answered_ = false;  // at least once
  bool lingering_ = false;

  sys::Fd fd_;  // closed after poll_
  loop::Poll poll_;
  loop::Timer timer_;
  loop::Waiter arrived_, doomed_, finished_;
  loop::Task<void> serve_;  // destroyed first: it uses all of the above
};

}  // namespace hearth::http
