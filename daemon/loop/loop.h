// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <uv.h>

#include "daemon/loop/handle.h"
#include "daemon/loop/timer_queue.h"
#include "daemon/loop/waiter.h"

namespace hearth::loop {

// The event loop of one thread. libuv callbacks only queue waiters; every resume happens in
// drain(), so no coroutine runs inside another coroutine or inside a callback. Everything that uses
// the loop is destroyed before it (checked).
class Loop {
 public:
  Loop();
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Runs until nothing is left to wait for, or stop(). Throws nothing of its own; what a callback
  // throws is a bug.
  void run();
  void stop() { uv_stop(&uv_); }

  // The threads that offload() uses. libuv would make them when the first work comes, and abort the
  // process if the host then has none left; here that is an error that can be told, at the start.
  void make_threads();

  uv_loop_t* uv() { return &uv_; }
  TimerQueue& timers() { return *timers_; }

  // Queues a parked waiter; one that is not parked is left alone. It leaves the list in which it
  // was.
  void wake(Waiter& waiter) {
    if (!waiter.parked()) return;
    ready_.push_back(waiter);
    if (!ringing_) ring();
  }

  // A fresh reading, not libuv's cached time.
  static Time now() { return Clock::now(); }

 private:
  // Between two polls for I/O at most this many waiters run, so that two coroutines that wake each
  // other starve nobody.
  static constexpr int kTurnMax = 10'000;
  void ring();
  void drain();

  uv_loop_t uv_{};
  bool ringing_ = false;
  WaitList ready_;
  // An active idle handle makes the next poll return at once. Without this bell a waiter queued by
  // a timer would sleep until unrelated I/O arrives.
  Handle<uv_idle_t> bell_;
  std::unique_ptr<TimerQueue> timers_;
};

}  // namespace hearth::loop
