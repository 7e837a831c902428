// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <coroutine>
#include <exception>
#include <optional>
#include <utility>

#include "daemon/loop/frame_pool.h"
#include "daemon/loop/loop.h"
#include "sandbox/sys/error.h"

namespace hearth::loop {

template <typename T>
class Task;

namespace detail {

struct PromiseBase {
  Loop* loop = nullptr;
  Waiter* continuation = nullptr;
  std::exception_ptr error;

  static void* operator new(std::size_t bytes) { return frame_allocate(bytes); }
  static void operator delete(void* frame, std::size_t bytes) { frame_free(frame, bytes); }

  // The frame stays until its owner destroys it; who waits for it is queued, not resumed from here.
  struct Final {
    bool await_ready() noexcept { return false; }
    template <typename P>
    void await_suspend(std::coroutine_handle<P> frame) noexcept {
      PromiseBase& promise = frame.promise();
      if (promise.continuation) promise.loop->wake(*promise.continuation);
    }
    void await_resume() noexcept {}
  };
  std::suspend_always initial_suspend() noexcept { return {}; }
  Final final_suspend() noexcept { return {}; }
  void unhandled_exception() { error = std::current_exception(); }
};

template <typename T>
struct Promise : PromiseBase {
  std::optional<T> value;
  Task<T> get_return_object();
  void return_value(T result) { value.emplace(std::move(result)); }
  T take() {
    if (error) std::rethrow_exception(std::exchange(error, nullptr));
    return std::move(*value);
  }
};

template <>
struct Promise<void> : PromiseBase {
  Task<void> get_return_object();
  void return_void() {}
  void take() {
    if (error) std::rethrow_exception(std::exchange(error, nullptr));
  }
};

}  // namespace detail

// A lazy coroutine with one owner: nothing runs before it is awaited or started. Destroying it
// cancels the work: the destructors of the frame run and nothing of it resumes afterwards. An
// exception that leaves it comes out of co_await or take().
template <typename T = void>
class [[nodiscard]] Task {
 public:
  using promise_type = detail::Promise<T>;

  Task() = default;  // no work
  explicit Task(std::coroutine_handle<promise_type> frame) : frame_(frame) {}
  Task(Task&& other) noexcept : frame_(std::exchange(other.frame_, nullptr)) {}
  Task& operator=(Task&& other) noexcept {
    Task old(std::exchange(frame_, std::exchange(other.frame_, nullptr)));
    return *this;
  }
  ~Task() {
    if (frame_) frame_.destroy();
  }

  explicit operator bool() const { return static_cast<bool>(frame_); }

  // Runs the first part at once. `continuation`, when parked, is woken when the task finishes later
  // than that. Once only.
  void start(Loop& loop, Waiter* continuation = nullptr) {
    frame_.promise().loop = &loop;
    frame_.promise().continuation = continuation;
    frame_.resume();
  }
  void set_continuation(Waiter* continuation) { frame_.promise().continuation = continuation; }
  bool done() const { return frame_.done(); }
  T take() {  // after done(), once
    HEARTH_CHECK(frame_ && frame_.done());
    return frame_.promise().take();
  }

  class Awaiter {
   public:
    explicit Awaiter(Task& task) : task_(task) {}
    bool await_ready() const { return false; }
    template <typename P>
    bool await_suspend(std::coroutine_handle<P> parent) {
      task_.start(*parent.promise().loop);
      if (task_.done())
        return false;  // finished without suspending: the parent goes on, no stack grows
      waiter_.park(parent);
      task_.set_continuation(&waiter_);
      return true;
    }
    T await_resume() { return task_.take(); }

   private:
    Task& task_;
    Waiter waiter_;
  };
  Awaiter operator co_await() & { return Awaiter(*this); }
  Awaiter operator co_await() && { return Awaiter(*this); }

  // For a task that was started: waits until it is done, in place of whoever waited before.
  class End {
   public:
    explicit End(Task& task) : task_(task) {}
    bool await_ready() const { return task_.done(); }
    void await_suspend(std::coroutine_handle<> frame) {
      waiter_.park(frame);
      task_.set_continuation(&waiter_);
    }
    void await_resume() const {}

   private:
    Task& task_;
    Waiter waiter_;
  };
  End end() { return End(*this); }

 private:
  std::coroutine_handle<promise_type> frame_;
};

namespace detail {

template <typename T>
Task<T> Promise<T>::get_return_object() {
  return Task<T>(std::coroutine_handle<Promise<T>>::from_promise(*this));
}
inline Task<void> Promise<void>::get_return_object() {
  return Task<void>(std::coroutine_handle<Promise<void>>::from_promise(*this));
}

}  // namespace detail
}  // namespace hearth::loop
