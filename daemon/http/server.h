// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "daemon/http/limits.h"
#include "daemon/http/message.h"
#include "daemon/loop/event.h"
#include "daemon/loop/task.h"
#include "sandbox/sys/fd.h"

namespace hearth::http {

// Answers one request. The request stays valid until the task has ended. An exception becomes a
// 500. When the client goes away (closing its sending side counts), the task is destroyed.
using Handler = std::function<loop::Task<Response>(Request&)>;

// What a route says once the headers are there and before the body is read. It comes filled with
// the server's limits.
struct Admission {
  uint64_t body_bytes_max = 0;
  std::string body_directory;       // not empty: the body goes to a file there (Request::body_file)
  std::optional<Response> refusal;  // sent instead; the body is not read
};
using Admit = std::function<void(const Request&, Admission&)>;

struct Counters {
  uint64_t connections_accepted = 0, connections_refused = 0, connections_open = 0;
  uint64_t accept_failures = 0;     // no descriptor left, and the like
  uint64_t requests = 0;            // handed to the handler
  uint64_t requests_refused = 0;    // by the parser, the limits, or the route before the body
  uint64_t requests_cancelled = 0;  // the client went away while the handler ran
  uint64_t timeouts = 0;
  uint64_t bytes_in = 0, bytes_out = 0;
  uint64_t buffered_bytes = 0;  // now
};

struct Shared;
class Listener;

// An HTTP/1.1 server on any number of sockets, on one loop. Destruction closes everything and
// cancels every handler. The setters and listen functions throw sys::Error.
class Server {
 public:
  Server(loop::Loop& loop, Limits limits, Handler handler, Admit admit = {});
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  uint16_t listen_tcp(const std::string& address,
                      uint16_t port);  // port 0: any; returns the bound one
  // Replaces a socket file that nobody listens on. The file never has more rights than `mode`; it
  // is removed at the end.
  void listen_unix(const std::string& path, mode_t mode, std::optional<gid_t> group = std::nullopt);
  void adopt_listener(sys::Fd fd);  // a listening stream socket, from systemd

  // Closes the listeners, and the connections that expect no request. The others get one more
  // answer, which says that the connection closes: what a client sent behind that request is
  // dropped.
  void begin_drain();
  bool expects_requests() const;
  void close_silent();  // after begin_drain(): who has still sent nothing
  bool draining() const;
  loop::Event::Wait drained();  // resumes when no connection is left after begin_drain()

  const Counters& counters() const;

 private:
  std::unique_ptr<Shared> shared_;
};

}  // namespace hearth::http
