// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <utility>

#include "daemon/loop/loop.h"

namespace hearth::loop {

// Calls a function once, some time after arm(). Reusable; arming allocates nothing. The function
// may arm the timer again but must not destroy it. Fires never early and up to about 1 ms late.
// Destruction disarms.
class Timer {
 public:
  Timer(Loop& loop, std::function<void()> fired) : queue_(loop.timers()), fired_(std::move(fired)) {
    entry_.fire = [](void* timer) { static_cast<Timer*>(timer)->fired_(); };
    entry_.argument = this;
  }
  ~Timer() { queue_.remove(entry_); }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  void arm(Clock::duration delay) { arm_at(deadline_after(delay)); }
  void arm_at(Time due) { queue_.arm(entry_, due); }
  void disarm() { queue_.disarm(entry_); }
  bool armed() const { return entry_.due != Time::max(); }
  Time due() const { return entry_.due; }  // Time::max() when not armed

  // now + delay, or the end of time when that lies beyond it.
  static Time deadline_after(Clock::duration delay) {
    Time now = Clock::now();
    return delay > Time::max() - now ? Time::max() : now + delay;
  }

 private:
  TimerQueue& queue_;
  std::function<void()> fired_;
  TimerQueue::Entry entry_;
};

}  // namespace hearth::loop
