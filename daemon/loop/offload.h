// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "daemon/loop/deadline.h"
#include "daemon/loop/task.h"

namespace hearth::loop {

namespace detail {

// One function on its way through the thread pool. The pool's callback frees it: on the loop
// thread, also when nobody waits any more.
template <typename Fn>
struct Work {
  using R = std::invoke_result_t<Fn&>;

  explicit Work(Fn f) : fn(std::move(f)) { request.data = this; }
  uv_work_t request{};
  Fn fn;
  std::optional<Value<R>> result;
  std::exception_ptr error;
  Loop* loop = nullptr;
  Waiter* waiter = nullptr;  // null: abandoned
  bool finished = false;

  void run() noexcept {
    try {
      if constexpr (std::is_void_v<R>) {
        fn();
        result.emplace();
      } else {
        result.emplace(fn());
      }
    } catch (...) {
      error = std::current_exception();
    }
  }
  void finish() {
    finished = true;
    if (!waiter) {
      delete this;
    } else {
      loop->wake(*waiter);
    }
  }
};

template <typename Fn>
class OffloadAwaiter {
 public:
  OffloadAwaiter(Loop& loop, Fn fn) : work_(new Work<Fn>(std::move(fn))) { work_->loop = &loop; }
  ~OffloadAwaiter() {
    work_->waiter = nullptr;
    if (work_->finished || !queued_) {
      delete work_;
      return;
    }
    (void)uv_cancel(reinterpret_cast<uv_req_t*>(&work_->request));  // too late when it runs already
  }
  OffloadAwaiter(const OffloadAwaiter&) = delete;
  OffloadAwaiter& operator=(const OffloadAwaiter&) = delete;

  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> frame) {
    waiter_.park(frame);
    work_->waiter = &waiter_;
    int rc = uv_queue_work(
        work_->loop->uv(), &work_->request,
        [](uv_work_t* request) { static_cast<Work<Fn>*>(request->data)->run(); },
        [](uv_work_t* request, int) { static_cast<Work<Fn>*>(request->data)->finish(); });
    if (rc < 0) throw sys::Error("uv_queue_work", {}, -rc);
    queued_ = true;
  }
  typename Work<Fn>::R await_resume() {
    if (work_->error) std::rethrow_exception(work_->error);
    if constexpr (!std::is_void_v<typename Work<Fn>::R>) return std::move(*work_->result);
  }

 private:
  Work<Fn>* work_;
  Waiter waiter_;
  bool queued_ = false;
};

}  // namespace detail

// Runs `fn` on libuv's thread pool; its result or exception comes back. When the awaiting frame is
// destroyed meanwhile, fn still runs to its end (unless it has not begun) and its result is dropped
// on the loop thread: fn must own what it uses.
template <typename Fn>
Task<std::invoke_result_t<Fn&>> offload(Loop& loop, Fn fn) {
  co_return co_await detail::OffloadAwaiter<Fn>(loop, std::move(fn));
}

}  // namespace hearth::loop
