// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <coroutine>

#include "daemon/loop/loop.h"

namespace hearth::loop {

// A flag that coroutines wait for. set() wakes all who wait and lets later ones pass until reset().
// A woken coroutine runs later in the same turn: when somebody may reset in between, it looks
// again. Waiters of a destroyed event never wake.
class Event {
 public:
  explicit Event(Loop& loop) : loop_(loop) {}
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void set() {
    set_ = true;
    notify();
  }
  void reset() { set_ = false; }
  bool is_set() const { return set_; }
  // Wakes who waits now and leaves the flag as it is.
  void notify() {
    while (!waiting_.empty()) loop_.wake(waiting_.front());
  }

  class Wait {
   public:
    explicit Wait(Event& event) : event_(event) {}
    bool await_ready() const { return event_.set_; }
    void await_suspend(std::coroutine_handle<> frame) {
      waiter_.park(frame);
      event_.waiting_.push_back(waiter_);
    }
    void await_resume() const {}

   private:
    Event& event_;
    Waiter waiter_;
  };
  Wait wait() { return Wait(*this); }

 private:
  Loop& loop_;
  bool set_ = false;
  WaitList waiting_;
};

}  // namespace hearth::loop
