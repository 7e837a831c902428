// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <coroutine>
#include <utility>

namespace hearth::loop {

// Something that waits for its turn: a suspended coroutine, or a function to call. It lives in the
// frame or object that it wakes and is linked into at most one list; destruction unlinks it, so
// what is destroyed is never resumed.
class Waiter {
 public:
  Waiter() = default;
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;
  ~Waiter() { unlink(); }

  void park(std::coroutine_handle<> frame) {
    run_ = [](void* address) { std::coroutine_handle<>::from_address(address).resume(); };
    argument_ = frame.address();
  }
  // Calls `run(argument)` from the loop, outside every coroutine and libuv callback. It may destroy
  // this waiter.
  void park(void (*run)(void*), void* argument) {
    run_ = run;
    argument_ = argument;
  }

  bool parked() const { return run_ != nullptr; }
  bool linked() const { return next_ != this; }
  void unlink() {
    prev_->next_ = next_;
    next_->prev_ = prev_;
    prev_ = next_ = this;
  }

 private:
  friend class WaitList;
  friend class Loop;
  Waiter* prev_ = this;
  Waiter* next_ = this;
  void (*run_)(void*) = nullptr;
  void* argument_ = nullptr;
};

// Waiters in order of arrival. It owns none of them.
class WaitList {
 public:
  bool empty() const { return !head_.linked(); }
  Waiter& front() { return *head_.next_; }
  void push_back(Waiter& waiter) {
    waiter.unlink();
    waiter.prev_ = head_.prev_;
    waiter.next_ = &head_;
    head_.prev_->next_ = &waiter;
    head_.prev_ = &waiter;
  }

 private:
  Waiter head_;
};

}  // namespace hearth::loop
