// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <type_traits>
#include <variant>

#include "daemon/loop/task.h"
#include "daemon/loop/timer.h"

namespace hearth::loop {

namespace detail {

template <typename T>
using Value = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

template <typename T>
Value<T> take_value(Task<T>& task) {
  if constexpr (std::is_void_v<T>) {
    task.take();
    return {};
  } else {
    return task.take();
  }
}

template <typename T>
class DeadlineRace {
 public:
  DeadlineRace(Loop& loop, Task<T>& work, Time due)
      : loop_(loop), work_(work), due_(due), timer_(loop, [this] { loop_.wake(waiter_); }) {}
  bool await_ready() const { return false; }
  bool await_suspend(std::coroutine_handle<> frame) {
    work_.start(loop_);
    if (work_.done()) return false;
    waiter_.park(frame);
    work_.set_continuation(&waiter_);
    timer_.arm_at(due_);
    return true;
  }
  void await_resume() const {}

 private:
  Loop& loop_;
  Task<T>& work_;
  Time due_;
  Waiter waiter_;
  Timer timer_;
};

template <typename A, typename B>
class TaskRace {
 public:
  TaskRace(Loop& loop, Task<A>& a, Task<B>& b) : loop_(loop), a_(a), b_(b) {}
  bool await_ready() const { return false; }
  bool await_suspend(std::coroutine_handle<> frame) {
    a_.start(loop_);
    if (a_.done()) return false;
    b_.start(loop_);
    // b may have finished a by what it did.
    if (a_.done() || b_.done()) return false;
    waiter_.park(frame);
    a_.set_continuation(&waiter_);
    b_.set_continuation(&waiter_);
    return true;
  }
  void await_resume() const {}

 private:
  Loop& loop_;
  Task<A>& a_;
  Task<B>& b_;
  Waiter waiter_;
};

}  // namespace detail

// Runs `work` until it finishes or the deadline passes. nullopt: it passed, and the work is already
// destroyed. Work that finished by then wins, however late it is looked at. The work runs its first
// part even when the deadline has passed before.
template <typename T>
Task<std::optional<detail::Value<T>>> with_deadline_at(Loop& loop, Task<T> work, Time due) {
  co_await detail::DeadlineRace<T>(loop, work, due);
  if (work.done()) co_return detail::take_value(work);
  work = Task<T>();
  co_return std::nullopt;
}

template <typename T>
Task<std::optional<detail::Value<T>>> with_deadline(Loop& loop, Task<T> work,
                                                    Clock::duration limit) {
  return with_deadline_at(loop, std::move(work), Timer::deadline_after(limit));
}

// Runs both until one finishes; the other is destroyed before the result is returned. When both are
// done `a` wins; when `a` finishes at once, `b` never starts. index() says which; a void result is
// std::monostate.
template <typename A, typename B>
Task<std::variant<detail::Value<A>, detail::Value<B>>> first_of(Loop& loop, Task<A> a, Task<B> b) {
  using Result = std::variant<detail::Value<A>, detail::Value<B>>;
  co_await detail::TaskRace<A, B>(loop, a, b);
  if (a.done()) {
    b = Task<B>();
    co_return Result(std::in_place_index<0>, detail::take_value(a));
  }
  a = Task<A>();
  co_return Result(std::in_place_index<1>, detail::take_value(b));
}

}  // namespace hearth::loop
