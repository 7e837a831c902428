// SPDX-License-Identifier: Apache-2.0
#include "daemon/http/server.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "daemon/http/error.h"
#include "daemon/http/shared.h"
#include "sandbox/sys/error.h"

namespace hearth::http {
namespace {

// So many clients beyond connections_max get a readable refusal; more are closed at once.
constexpr uint64_t kRefusedAtOnceMax = 64;

}  // namespace

Shared::Shared(loop::Loop& l, Limits bounds, Handler h, Admit a)
    : loop(l), limits(bounds), handler(std::move(h)), admit(std::move(a)), drained(l) {
  Response response =
      error_response(503, "overloaded", "accept", "too many connections", "connections_max",
                     std::to_string(limits.connections_max), {}, std::chrono::seconds(1));
  append_head(overloaded, response, BodyForm::kLength, false, 1, {});
  overloaded += response.body;
}

void Shared::open(sys::Fd fd, Peer peer) {
  ++counters.connections_accepted;
  Connection::Welcome welcome = Connection::Welcome::kServe;
  if (connections.size() >= limits.connections_max) {
    ++counters.connections_refused;
    welcome = Connection::Welcome::kRefuse;
    if (connections.size() >= limits.connections_max + kRefusedAtOnceMax) return;
  }
  connections.emplace_back(*this, std::move(fd), std::move(peer), welcome);
  ++counters.connections_open;
  auto connection = std::prev(connections.end());
  connection->start(connection);
}

void Shared::close(std::list<Connection>::iterator connection) {
  connections.erase(connection);
  --counters.connections_open;
  if (draining && connections.empty()) drained.set();
}

Server::Server(loop::Loop& loop, Limits limits, Handler handler, Admit admit)
    : shared_(std::make_unique<Shared>(loop, limits, std::move(handler), std::move(admit))) {}

Server::~Server() {
  shared_->listeners.clear();
  shared_->connections.clear();
}

uint16_t Server::listen_tcp(const std::string& address, uint16_t port) {
  sys::Fd fd = bind_tcp(address, port);
  uint16_t bound = bound_port(fd.get());
  shared_->listeners.emplace_back(*shared_, std::move(fd));
  return bound;
}

void Server::listen_unix(const std::string& path, mode_t mode, std::optional<gid_t> group) {
  shared_->listeners.emplace_back(*shared_, bind_unix(path, mode, group), path);
}

void Server::adopt_listener(sys::Fd fd) {
  int listening = 0, type = 0;
  socklen_t size = sizeof listening;
  sys::check(::getsockopt(fd.get(), SOL_SOCKET, SO_ACCEPTCONN, &listening, &size), "adopt socket");
  size = sizeof type;
  sys::check(::getsockopt(fd.get(), SOL_SOCKET, SO_TYPE, &type, &size), "adopt socket");
  if (!listening || type != SOCK_STREAM) throw sys::Error("adopt socket", "not listening", EINVAL);
  sys::check(::fcntl(fd.get(), F_SETFL, O_NONBLOCK), "fcntl", "adopted socket");
  sys::check(::fcntl(fd.get(), F_SETFD, FD_CLOEXEC), "fcntl", "adopted socket");
  shared_->listeners.emplace_back(*shared_, std::move(fd));
}

void Server::begin_drain() {
  shared_->draining = true;
  shared_->listeners.clear();
  for (Connection& connection : shared_->connections) {
    if (connection.idle() && !connection.expects_request()) connection.doom();
  }
  if (shared_->connections.empty()) shared_->drained.set();
}

bool Server::expects_requests() const {
  const auto& all = shared_->connections;
  return std::any_of(all.begin(), all.end(), [](const auto& one) { return one.expects_request(); });
}

void Server::close_silent() {
  for (Connection& connection : shared_->connections) {
    if (connection.idle() && !connection.has_unread()) connection.doom();
  }
}

bool Server::draining() const {
  return shared_->draining;
}
loop::Event::Wait Server::drained() {
  return shared_->drained.wait();
}
const Counters& Server::counters() const {
  return shared_->counters;
}

}  // namespace hearth::http
