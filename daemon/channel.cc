// SPDX-License-Identifier: Apache-2.0
#include "daemon/channel.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "sandbox/sys/error.h"

namespace hearth::daemon {
namespace frame = sandbox::frame;
namespace {

// One read takes a whole small frame. Shared by all channels: the loop thread is the only user, and
// nothing stays in it.
std::array<char, 64 * 1024> scratch;

}  // namespace

Channel::Channel(loop::Loop& loop, sys::Fd fd, std::function<void()> changed)
    : fd_(std::move(fd)), changed_(std::move(changed)), poll_(loop, fd_.get()) {
  poll_.on_readable([this] { read_some(); });
}

void Channel::send(const frame::Header& header, std::string_view meta, std::string_view body) {
  HEARTH_CHECK(sent());
  frame::encode(header, std::span<std::byte, frame::kHeaderBytes>(head_));
  unsent_head_ = sizeof head_;
  unsent_meta_ = meta;
  unsent_body_ = body;
  write_some();
}

std::optional<Channel::Frame> Channel::take() {
  std::optional<Frame> frame = std::move(complete_);
  complete_.reset();
  return frame;
}

void Channel::fail(State state) {
  state_ = state;
  poll_.on_readable({});
  changed_();
}

void Channel::stop_sending() {
  unsent_head_ = 0;
  unsent_meta_ = unsent_body_ = {};
}

void Channel::keep_unsent() {
  kept_meta_ = unsent_meta_;
  kept_body_ = unsent_body_;
  unsent_meta_ = kept_meta_;
  unsent_body_ = kept_body_;
}

void Channel::write_some() {
  while (!sent() && state_ == State::kOpen) {
    std::array<iovec, 3> parts = {
        iovec{head_ + sizeof head_ - unsent_head_, unsent_head_},
        iovec{const_cast<char*>(unsent_meta_.data()), unsent_meta_.size()},
        iovec{const_cast<char*>(unsent_body_.data()), unsent_body_.size()}};
    msghdr message = {};
    message.msg_iov = parts.data();
    message.msg_iovlen = parts.size();
    ssize_t n = ::sendmsg(fd_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) {
      poll_.when_writable([this] { write_some(); });
      return;
    }
    // The peer closed its end: what it sent before is still read, and ends in kEnded.
    if (n < 0) return stop_sending();
    size_t left = static_cast<size_t>(n);
    size_t head = std::min(left, unsent_head_);
    unsent_head_ -= head;
    left -= head;
    size_t meta = std::min(left, unsent_meta_.size());
    unsent_meta_.remove_prefix(meta);
    unsent_body_.remove_prefix(left - meta);
  }
  if (!kept_body_.empty() && unsent_body_.empty()) std::string().swap(kept_body_);
}

void Channel::read_some() {
  while (state_ == State::kOpen) {
    bool more = incoming_ ? read_rest() : read_small();
    if (!more) return;
  }
}

// Reads into the shared buffer until a header is known. False: nothing more to read now.
bool Channel::read_small() {
  ssize_t n = ::recv(fd_.get(), scratch.data(), scratch.size(), MSG_DONTWAIT);
  if (n < 0 && errno == EINTR) return true;
  if (n < 0 && errno == EAGAIN) return false;
  if (n <= 0) {
    fail(partial_head_.empty() ? State::kEnded : State::kBroken);
    return false;
  }
  std::string_view bytes(scratch.data(), static_cast<size_t>(n));
  if (complete_) {  // a second frame before the first was taken
    fail(State::kBroken);
    return false;
  }
  if (!partial_head_.empty() || bytes.size() < frame::kHeaderBytes) {
    partial_head_ += bytes;
    if (partial_head_.size() < frame::kHeaderBytes) return true;
    std::string whole = std::move(partial_head_);
    partial_head_.clear();
    begin_frame(whole);
  } else {
    begin_frame(bytes);
  }
  // A short read emptied the socket; the poll tells when there is more.
  return incoming_.has_value();
}

void Channel::begin_frame(std::string_view bytes) {
  std::span<const std::byte> raw(reinterpret_cast<const std::byte*>(bytes.data()), bytes.size());
  std::optional<frame::Header> header = frame::decode(raw.first<frame::kHeaderBytes>());
  if (!header) return fail(State::kBroken);
  if (header->body_bytes > body_bytes_max_) return fail(State::kTooLarge);
  bytes.remove_prefix(frame::kHeaderBytes);
  size_t total = size_t{header->meta_bytes} + header->body_bytes;
  if (bytes.size() > total) return fail(State::kBroken);

  Frame frame{*header, std::string(bytes.substr(0, header->meta_bytes)), {}};
  if (bytes.size() > header->meta_bytes) frame.body = bytes.substr(header->meta_bytes);
  if (bytes.size() == total) {
    complete_ = std::move(frame);
    return changed_();
  }
  filled_ = bytes.size();
  frame.meta.resize(header->meta_bytes);
  frame.body.resize(header->body_bytes);
  incoming_ = std::move(frame);
}

// Reads straight into the frame's own storage: a large body is copied once, out of the kernel.
bool Channel::read_rest() {
  Frame& frame = *incoming_;
  size_t meta_filled = std::min(filled_, frame.meta.size());
  size_t body_filled = filled_ - meta_filled;
  std::array<iovec, 2> parts = {
      iovec{frame.meta.data() + meta_filled, frame.meta.size() - meta_filled},
      iovec{frame.body.data() + body_filled, frame.body.size() - body_filled}};
  msghdr message = {};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  ssize_t n = ::recvmsg(fd_.get(), &message, MSG_DONTWAIT);
  if (n < 0 && errno == EINTR) return true;
  if (n < 0 && errno == EAGAIN) return false;
  if (n <= 0) {
    fail(State::kBroken);  // ended inside a frame
    return false;
  }
  filled_ += static_cast<size_t>(n);
  if (filled_ < frame.meta.size() + frame.body.size()) return true;
  complete_ = std::move(frame);
  incoming_.reset();
  changed_();
  return false;
}

}  // namespace hearth::daemon
