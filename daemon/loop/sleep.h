// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <coroutine>

#include "daemon/loop/timer.h"

namespace hearth::loop {

// `co_await Sleep(loop, 30ms)`.
class Sleep {
 public:
  Sleep(Loop& loop, Clock::duration delay)
      : delay_(delay), timer_(loop, [this, &loop] { loop.wake(waiter_); }) {}
  Sleep(const Sleep&) = delete;
  Sleep& operator=(const Sleep&) = delete;

  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> frame) {
    waiter_.park(frame);
    timer_.arm(delay_);
  }
  void await_resume() const {}

 private:
  Clock::duration delay_;
  Waiter waiter_;
  Timer timer_;
};

}  // namespace hearth::loop
