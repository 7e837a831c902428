// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "daemon/loop/poll.h"
#include "sandbox/frame.h"
#include "sandbox/sys/fd.h"

namespace hearth::daemon {

// hearthd's end of a runtime's channel: frames out, frames in, one at a time each way. Whatever
// arrives out of turn (a second frame before the first was taken, a malformed header, a body above
// the bound) breaks the channel for good: the process behind it is hostile or sick. Destruction
// closes it. Never throws for what the peer does.
class Channel {
 public:
  enum class State { kOpen, kEnded, kBroken, kTooLarge };
  struct Frame {
    sandbox::frame::Header header;
    std::string meta;
    std::string body;
  };

  // `changed` is called on the loop thread when a frame is complete, all is sent, or the state
  // changed.
  Channel(loop::Loop& loop, sys::Fd fd, std::function<void()> changed);
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  // `meta` and `body` must outlive the sending (until sent()). One frame at a time.
  void send(const sandbox::frame::Header& header, std::string_view meta, std::string_view body);
  bool sent() const { return unsent_head_ + unsent_meta_.size() + unsent_body_.size() == 0; }
  // Both let go of what was borrowed: what is not sent is forgotten, or sent from a copy.
  void stop_sending();
  void keep_unsent();

  std::optional<Frame> take();
  // A frame, or bytes that are none, wait though nobody asked for them.
  bool has_unasked() const {
    return complete_ || state_ == State::kBroken || state_ == State::kTooLarge;
  }
  State state() const { return state_; }
  // Frames with a larger body break the channel with kTooLarge.
  void set_body_bytes_max(uint64_t bytes) { body_bytes_max_ = bytes; }

 private:
  void write_some();
  void read_some();
  bool read_small();
  bool read_rest();
  void begin_frame(std::string_view bytes);
  void fail(State state);

  sys::Fd fd_;
  std::function<void()> changed_;
  State state_ = State::kOpen;
  uint64_t body_bytes_max_ = 6u << 20;

  std::byte head_[sandbox::frame::kHeaderBytes] = {};
  size_t unsent_head_ = 0;
  std::string_view unsent_meta_, unsent_body_;
  std::string kept_meta_, kept_body_;  // where they point to after keep_unsent()

  std::string partial_head_;       // fewer than kHeaderBytes received
  std::optional<Frame> incoming_;  // header known, payload filling
  size_t filled_ = 0;              // bytes of meta and body received
  std::optional<Frame> complete_;

  loop::Poll poll_;  // last: its callbacks stop before the rest goes
};

}  // namespace hearth::daemon
