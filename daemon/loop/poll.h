// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <coroutine>
#include <functional>

#include "daemon/loop/loop.h"

namespace hearth::loop {

// Waits for one descriptor, which it does not own: close the descriptor after this object, or after
// release(). Closed before, its number may be another's already when libuv is told to forget it,
// and the kernel then forgets the other. One uv_poll_t for life; changing what the kernel is asked
// for costs system calls in libuv, so awaiting only links a waiter and the interest stays until an
// event comes that nobody waits for. A descriptor with an error or a hang-up counts as readable and
// writable: the next read or write says why.
//
// Being readable or writable is a hint: read or write until EAGAIN, then wait again. At most one
// coroutine waits for each direction (checked), and a direction is served either by a coroutine or
// by a callback.
class Poll {
 public:
  // Throws sys::Error when the descriptor cannot be polled (a regular file).
  Poll(Loop& loop, int fd);
  Poll(const Poll&) = delete;
  Poll& operator=(const Poll&) = delete;

  class Ready {
   public:
    Ready(Poll& poll, int direction) : poll_(poll), direction_(direction) {}
    bool await_ready() const { return poll_.take_hint(direction_); }
    void await_suspend(std::coroutine_handle<> frame) {
      waiter_.park(frame);
      poll_.link(direction_, waiter_);
    }
    void await_resume() const {}

   private:
    Poll& poll_;
    int direction_;
    Waiter waiter_;
  };
  Ready readable() { return Ready(*this, UV_READABLE); }
  Ready writable() { return Ready(*this, UV_WRITABLE); }

  // Called on every turn while there is something to read; an empty function ends that. The
  // function may call any member but must not destroy the object.
  void on_readable(std::function<void()> ready);
  // Called once, when the descriptor takes bytes again. For writers that are no coroutine.
  void when_writable(std::function<void()> ready);
  // Stops and resumes the calls of on_readable's function.
  void pause_reading(bool paused);
  // Called when the peer has closed its sending side or the connection broke, also while reading is
  // paused, as long as that lasts: do something about it. Sockets only.
  void on_hangup(std::function<void()> hung_up);
  // Watches no more, for good, and the descriptor may be closed. Also from a callback; only for
  // descriptors that callbacks serve.
  void release();

 private:
  static void notify(uv_poll_t* poll, int status, int events);
  void deliver(int direction);
  bool take_hint(int direction);
  void link(int direction, Waiter& waiter);
  WaitList& list(int direction) { return direction == UV_READABLE ? readers_ : writers_; }
  int wanted() const;
  void ask(int events);

  Loop& loop_;
  int asked_ = 0;  // what the kernel is asked for
  int hints_ = 0;  // came when nobody waited
  bool paused_ = false;
  WaitList readers_, writers_;
  std::function<void()> on_readable_, when_writable_, on_hangup_;
  Handle<uv_poll_t> handle_;
};

}  // namespace hearth::loop
