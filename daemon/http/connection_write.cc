// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <exception>
#include <utility>

#include "daemon/http/connection.h"
#include "daemon/http/error.h"
#include "daemon/http/response_head.h"
#include "daemon/http/shared.h"
#include "sandbox/sys/fail_point.h"
#include "sandbox/sys/log.h"

namespace hearth::http {
namespace {

constexpr uint64_t kAlwaysSentBytes = 4096;  // as small as the refusal that would replace it

}  // namespace

// One sendmsg. Takes off the front of `parts` what the kernel took.
Connection::Sent Connection::try_write(Parts& parts) {
  std::array<iovec, 3> vectors{};
  std::size_t count = 0;
  for (std::string_view part : parts) {
    if (!part.empty()) vectors[count++] = {const_cast<char*>(part.data()), part.size()};
  }
  if (count == 0) return Sent::kAll;
  msghdr message{};
  message.msg_iov = vectors.data();
  message.msg_iovlen = count;
  ssize_t n = ::sendmsg(fd_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return Sent::kSome;
  if (n < 0) {
    doom();
    return Sent::kLost;
  }
  sys::fail_point("answer.written");
  auto sent = static_cast<std::size_t>(n);
  shared_.counters.bytes_out += sent;
  progress_ += sent;
  bool all = true;
  for (std::string_view& part : parts) {
    std::size_t taken = std::min(sent, part.size());
    part.remove_prefix(taken);
    sent -= taken;
    all = all && part.empty();
  }
  return all ? Sent::kAll : Sent::kSome;
}

// What `parts` points to must live until it resumes. When the connection is lost it never does.
loop::Task<void> Connection::write_all(Parts parts) {
  for (;;) {
    Sent sent = try_write(parts);
    if (sent == Sent::kAll) break;
    if (sent == Sent::kLost) co_await std::suspend_always{};
    watch(Wait::kWrite);
    co_await poll_.writable();
  }
  watch(Wait::kNothing);
}

// The usual answer leaves in one system call. False: `left` is still to be sent.
bool Connection::send_at_once(const Response& response, bool keep_alive, Parts& left) {
  bool no_body = !status_has_body(response.status);
  shared_.head.clear();
  append_head(shared_.head, response, no_body ? BodyForm::kNone : BodyForm::kLength, keep_alive,
              request_.version_minor, shared_.date.now());
  left = {shared_.head};
  if (!no_body && !request_.is_head()) left[1] = response.body;
  if (try_write(left) == Sent::kAll) return true;
  // The shared buffer is another connection's in a moment.
  unsent_head_.assign(left[0]);
  left[0] = unsent_head_;
  return false;
}

loop::Task<void> Connection::send_rest(Response& response, Parts left) {
  account(left[0].size() + left[1].size());
  co_await write_all(left);
  std::string().swap(unsent_head_);
  std::string().swap(response.body);
}

loop::Task<void> Connection::send_stream(Response& response, bool keep_alive) {
  bool no_body = !status_has_body(response.status);
  bool chunked = request_.version_minor == 1;
  BodyForm form = no_body ? BodyForm::kNone : chunked ? BodyForm::kChunked : BodyForm::kUntilClose;
  append_head(unsent_head_, response, form, keep_alive, request_.version_minor, shared_.date.now());
  co_await write_all({unsent_head_});
  std::string().swap(unsent_head_);
  if (no_body || request_.is_head()) co_return;
  ResponseStream stream(*this, chunked);
  bool failed = false;
  try {
    co_await response.stream(stream);
  } catch (const std::exception& error) {
    sys::log::error("stream failed", {{"path", request_.path}, {"error", error.what()}});
    failed = true;
  }
  if (failed) {
    doom();  // the missing end tells the client
    co_await std::suspend_always{};
  }
  if (chunked) co_await write_all({"0\r\n\r\n"});
}

loop::Task<void> ResponseStream::write(std::string_view data) {
  if (data.empty()) co_return;  // an empty chunk would be the end
  if (!chunked_) {
    co_await connection_.write_all({data});
    co_return;
  }
  std::string size = fmt::format("{:x}\r\n", data.size());
  co_await connection_.write_all({size, data, "\r\n"});
}

// An answer that is too large, or for which the clients that do not read leave no room, is
// replaced.
Response Connection::cap(Response response) const {
  const Limits& limits = shared_.limits;
  uint64_t bytes = response.body.size();
  if (bytes > limits.response_bytes_max) {
    return error_response(502, "output_exceeded", "answer",
                          fmt::format("the answer has {} bytes", bytes), "response_bytes_max",
                          std::to_string(limits.response_bytes_max));
  }
  bool room = shared_.counters.buffered_bytes + bytes <= limits.buffered_bytes_max;
  if (room || bytes < kAlwaysSentBytes) return response;
  return error_response(503, "overloaded", "answer",
                        "too much is buffered for all clients together", "buffered_bytes_max",
                        std::to_string(limits.buffered_bytes_max), {}, std::chrono::seconds(1));
}

void Connection::send_continue() {
  // Nothing else is on its way to the client, so these few bytes fit or the connection is broken.
  Parts parts{"HTTP/1.1 100 Continue\r\n\r\n"};
  if (try_write(parts) != Sent::kAll) doom();
}

}  // namespace hearth::http
