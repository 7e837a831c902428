// SPDX-License-Identifier: Apache-2.0
#include "daemon/loop/poll.h"

#include <fmt/format.h>

#include <memory>
#include <utility>

#include "sandbox/sys/error.h"

namespace hearth::loop {

Poll::Poll(Loop& loop, int fd) : loop_(loop) {
  auto handle = std::make_unique<uv_poll_t>();
  int rc = uv_poll_init(loop.uv(), handle.get(), fd);
  if (rc < 0) throw sys::Error("uv_poll_init", fmt::format("descriptor {}", fd), -rc);
  handle_.reset(handle.release());
  handle_->data = this;
}

void Poll::on_readable(std::function<void()> ready) {
  on_readable_ = std::move(ready);
  ask(wanted());
}

void Poll::when_writable(std::function<void()> ready) {
  when_writable_ = std::move(ready);
  ask(wanted());
}

void Poll::pause_reading(bool paused) {
  if (paused == paused_) return;
  paused_ = paused;
  ask(wanted());
}

void Poll::on_hangup(std::function<void()> hung_up) {
  on_hangup_ = std::move(hung_up);
  ask(wanted());
}

void Poll::release() {
  HEARTH_CHECK(readers_.empty() && writers_.empty());
  handle_.reset();
}

bool Poll::take_hint(int direction) {
  bool hinted = (hints_ & direction) != 0;
  hints_ &= ~direction;
  return hinted;
}

void Poll::link(int direction, Waiter& waiter) {
  HEARTH_CHECK(list(direction).empty());
  list(direction).push_back(waiter);
  if ((asked_ & direction) == 0) ask(asked_ | wanted());
}

int Poll::wanted() const {
  int events = 0;
  if ((on_readable_ && !paused_) || !readers_.empty()) events |= UV_READABLE;
  if (when_writable_ || !writers_.empty()) events |= UV_WRITABLE;
  if (on_hangup_) events |= UV_DISCONNECT;
  return events;
}

void Poll::ask(int events) {
  if (events == asked_ || !handle_) return;
  asked_ = events;
  // Fails only for a closing handle or a descriptor that another handle watches: both are our bugs.
  HEARTH_CHECK(uv_poll_start(handle_.get(), events, notify) == 0);
}

void Poll::notify(uv_poll_t* poll, int status, int events) {
  auto* self = static_cast<Poll*>(poll->data);
  if (status < 0) {
    // libuv has stopped watching (EPOLLERR). Whoever waits meets the reason at the next read or
    // write.
    events = self->asked_;
    self->asked_ = 0;
  }
  for (int direction : {int{UV_READABLE}, int{UV_WRITABLE}}) {
    if (events & direction) self->deliver(direction);
  }
  if ((events & UV_DISCONNECT) && self->on_hangup_) self->on_hangup_();
  if (status < 0) self->ask(self->wanted());
}

void Poll::deliver(int direction) {
  WaitList& waiting = list(direction);
  if (!waiting.empty()) {
    // Still asked for afterwards: who was woken will most likely wait again before the next poll.
    loop_.wake(waiting.front());
  } else if (direction == UV_WRITABLE && when_writable_) {
    std::function<void()> ready = std::move(when_writable_);
    when_writable_ = nullptr;
    ask(wanted());
    ready();
  } else if (direction == UV_READABLE && on_readable_) {
    if (!paused_) on_readable_();
  } else {
    hints_ |= direction;
    ask(asked_ & ~direction);
  }
}

}  // namespace hearth::loop
