// SPDX-License-Identifier: Apache-2.0
#include "daemon/http/connection.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <exception>
#include <utility>

#include "daemon/http/error.h"
#include "daemon/http/shared.h"
#include "sandbox/sys/log.h"

namespace hearth::http {
namespace {

using std::chrono::seconds;

Response response_of(const Refusal& refusal) {
  std::optional<seconds> retry_after;
  if (refusal.status == 503) retry_after = seconds(1);
  std::string value = refusal.limit.empty() ? std::string() : std::to_string(refusal.value);
  return error_response(refusal.status, refusal.kind, refusal.stage, refusal.message, refusal.limit,
                        value, {}, retry_after);
}

}  // namespace

Connection::Connection(Shared& shared, sys::Fd fd, Peer peer, Welcome welcome)
    : shared_(shared),
      welcome_(welcome),
      parser_(shared.limits, request_),
      fd_(std::move(fd)),
      poll_(shared.loop, fd_.get()),
      timer_(shared.loop, [this] { time_out(); }) {
  request_.peer = std::move(peer);
}

Connection::~Connection() {
  shared_.counters.buffered_bytes -= accounted_;
  if (handling_) ++shared_.counters.requests_cancelled;
}

void Connection::start(std::list<Connection>::iterator self) {
  self_ = self;
  auto close = [](void* connection) {
    auto* gone = static_cast<Connection*>(connection);
    gone->shared_.close(gone->self_);
  };
  doomed_.park(close, this);
  finished_.park(close, this);
  poll_.on_readable([this] {
    try {
      read_some();
    } catch (const std::exception& error) {  // no memory left for this client
      sys::log::warning("connection given up", {{"error", error.what()}});
      doom();
    }
  });
  poll_.on_hangup([this] { doom(); });
  serve_ = serve();
  serve_.start(shared_.loop, &finished_);
}

bool Connection::has_unread() const {
  int unread = 0;
  return ::ioctl(fd_.get(), FIONREAD, &unread) == 0 && unread > 0;
}

void Connection::doom() {
  shared_.loop.wake(doomed_);
}

// The whole life of a connection. When the client goes away it simply does not resume.
loop::Task<void> Connection::serve() {
  bool keep_alive = welcome_ == Welcome::kServe;
  while (keep_alive) {
    co_await NextRequest{*this};
    Response response;
    if (early_) {
      response = std::move(*std::exchange(early_, std::nullopt));
      ++shared_.counters.requests_refused;
    } else if (parser_.state() == Parser::State::kRefused) {
      response = response_of(parser_.refusal());
      ++shared_.counters.requests_refused;
    } else {
      ++shared_.counters.requests;
      handling_ = true;
      try {
        response = co_await shared_.handler(request_);
      } catch (const std::exception& error) {
        sys::log::error("handler failed", {{"path", request_.path}, {"error", error.what()}});
        response = error_response(500, "internal", "handler", "the request could not be served");
      }
      handling_ = false;
      parser_.release_body();
      account();
      if (!response.stream) response = cap(std::move(response));
    }
    answered_ = true;
    keep_alive = parser_.keep_alive() && !shared_.draining;
    if (response.stream) {
      if (request_.version_minor == 0) keep_alive = false;  // its end is the connection's
      co_await send_stream(response, keep_alive);
    } else if (Parts left; !send_at_once(response, keep_alive, left)) {
      co_await send_rest(response, left);
    }
    keep_alive = keep_alive && !shared_.draining;  // draining may have begun while the answer left
    if (keep_alive) parser_.next();
    account();
  }
  if (welcome_ == Welcome::kRefuse) co_await write_all({shared_.overloaded});
  // Closing now would reset the connection under an answer that the client has not read yet.
  if (parser_.state() != Parser::State::kComplete || !pending_.empty() || has_unread())
    co_await linger();
}

void Connection::read_some() {
  std::span<char> space = parser_.body_space();
  bool in_place = !space.empty();
  if (!in_place) space = shared_.scratch;
  ssize_t n = ::read(fd_.get(), space.data(), space.size());
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) return doom();
  auto bytes = static_cast<std::size_t>(n);
  shared_.counters.bytes_in += bytes;
  progress_ += bytes;
  if (lingering_) return;
  if (in_place) {
    parser_.body_received(bytes);
    settle();
  } else {
    receive({space.data(), bytes});
  }
}

void Connection::receive(std::string_view data) {
  if (!arrived()) data.remove_prefix(parse(data));
  if (data.empty() || parser_.state() == Parser::State::kRefused) return;
  pending_.append(data);
  if (pending_.size() >= shared_.limits.read_ahead_bytes_max) poll_.pause_reading(true);
  // Its turn to be told so has not come, and waiting for that would take the memory.
  if (!account()) doom();
}

bool Connection::arrived() const {
  return parser_.state() == Parser::State::kComplete || parser_.state() == Parser::State::kRefused;
}

// Goes on with the bytes that came behind the last request. True: the next one is there.
bool Connection::pull() {
  while (pending_used_ < pending_.size() && !arrived()) {
    pending_used_ += parse(std::string_view(pending_).substr(pending_used_));
  }
  if (pending_used_ == pending_.size()) {
    if (!pending_.empty()) std::string().swap(pending_);
    pending_used_ = 0;
    poll_.pause_reading(false);
  }
  if (!parser_.begun()) watch(Wait::kIdle);
  return arrived();
}

std::size_t Connection::parse(std::string_view data) {
  std::size_t used = parser_.feed(data);
  if (parser_.state() == Parser::State::kAdmit) {
    admit(used < data.size());
    used += parser_.feed(data.substr(used));
  }
  settle();
  return used;
}

void Connection::admit(bool body_follows) {
  Admission admission;
  admission.body_bytes_max = shared_.limits.body_bytes_max;
  if (shared_.admit) shared_.admit(request_, admission);
  if (admission.refusal) {
    early_ = std::move(admission.refusal);
    if (parser_.has_body()) return parser_.refuse({});
  }
  try {
    parser_.admit(admission.body_bytes_max, admission.body_directory);
  } catch (const sys::Error& error) {
    return parser_.refuse({503, "overloaded", "body", error.what()});
  }
  bool waits = parser_.state() == Parser::State::kBody && parser_.expects_continue();
  if (waits && !body_follows) send_continue();
}

// After every step of the parser: the memory it took, the deadline that now holds, and who waits
// for it.
void Connection::settle() {
  if (!account() && !early_) {
    parser_.refuse({503, "overloaded", "body", "too much is buffered for all clients together",
                    "buffered_bytes_max", shared_.limits.buffered_bytes_max});
  }
  if (parser_.state() == Parser::State::kRefused) {  // the others need the room now
    parser_.release_body();
    account();
  }
  if (arrived()) {
    watch(Wait::kNothing);
    shared_.loop.wake(arrived_);
  } else if (parser_.state() == Parser::State::kBody) {
    watch(Wait::kBody);
  } else if (parser_.begun()) {
    watch(Wait::kHead);
  }
}

// Brings our part of buffered_bytes up to date. False: it has grown beyond what all connections
// together may hold.
bool Connection::account(uint64_t unsent) {
  uint64_t bytes = parser_.buffered_bytes() + pending_.size() + unsent;
  bool grew = bytes > accounted_;
  shared_.counters.buffered_bytes += bytes - accounted_;
  accounted_ = bytes;
  return !grew || shared_.counters.buffered_bytes <= shared_.limits.buffered_bytes_max;
}

void Connection::watch(Wait what) {
  if (what == waiting_for_) return;
  waiting_for_ = what;
  progress_ = 0;
  const Limits& limits = shared_.limits;
  switch (what) {
    case Wait::kNothing:
      return timer_.disarm();
    case Wait::kIdle:
      return timer_.arm(limits.idle_time_max);
    case Wait::kHead:
      return timer_.arm(limits.header_time_max);
    case Wait::kBody:
      return timer_.arm(limits.body_period);
    case Wait::kWrite:
      return timer_.arm(limits.write_period);
    case Wait::kLinger:
      return timer_.arm(limits.linger_time_max);
  }
}

// True: the period that just ended brought less than it must. Otherwise the next one begins.
bool Connection::too_little(uint32_t bytes_min) {
  if (progress_ < bytes_min) return true;
  Wait again = std::exchange(waiting_for_, Wait::kNothing);
  watch(again);
  return false;
}

void Connection::time_out() {
  const Limits& limits = shared_.limits;
  switch (waiting_for_) {
    case Wait::kNothing:
      return;
    case Wait::kIdle:
    case Wait::kLinger:
      return doom();
    case Wait::kHead:
      parser_.refuse({408, "slow_client", "head", "the headers did not arrive in time",
                      "header_time_ms_max", static_cast<uint64_t>(limits.header_time_max.count())});
      break;
    case Wait::kBody:
      if (!too_little(limits.body_bytes_per_period_min)) return;
      parser_.refuse({408, "slow_client", "body", "the body arrives too slowly",
                      "body_bytes_per_period_min", limits.body_bytes_per_period_min});
      break;
    case Wait::kWrite:
      if (!too_little(limits.write_bytes_per_period_min)) return;
      ++shared_.counters.timeouts;
      return doom();
  }
  ++shared_.counters.timeouts;
  settle();
}

loop::Task<void> Connection::linger() {
  lingering_ = true;
  std::string().swap(pending_);
  parser_.release_body();
  account();
  poll_.pause_reading(false);
  (void)::shutdown(fd_.get(), SHUT_WR);  // fails when the client is gone: then reading says so
  watch(Wait::kLinger);
  co_await std::suspend_always{};
}

}  // namespace hearth::http
