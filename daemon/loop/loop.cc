// SPDX-License-Identifier: Apache-2.0
#include "daemon/loop/loop.h"

#include <cstdlib>
#include <future>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "sandbox/sys/error.h"

namespace hearth::loop {
namespace {

// libuv returns negated errno values.
void check_uv(int rc, const char* call) {
  if (rc < 0) throw sys::Error(call, {}, -rc);
}

// As many as libuv will make, alive at the same time. Returns an errno, or 0.
int try_threads(int count) {
  std::promise<void> over;
  std::shared_future<void> wait = over.get_future().share();
  std::vector<std::thread> threads;
  int error = 0;
  try {
    for (int i = 0; i < count; ++i) threads.emplace_back([wait] { wait.wait(); });
  } catch (const std::system_error& refused) {
    error = refused.code().value();
  }
  over.set_value();
  for (std::thread& thread : threads) thread.join();
  return error;
}

}  // namespace

Loop::Loop() {
  check_uv(uv_loop_init(&uv_), "uv_loop_init");
  bell_.reset(new uv_idle_t{});
  uv_idle_init(&uv_, bell_.get());
  bell_->data = this;
  timers_ = std::make_unique<TimerQueue>(&uv_);
}

Loop::~Loop() {
  timers_.reset();
  bell_.reset();
  // A handle that is still open belongs to something that outlived its loop; waiting for it would
  // hang.
  uv_walk(
      &uv_, [](uv_handle_t* handle, void*) { HEARTH_CHECK(uv_is_closing(handle)); }, nullptr);
  uv_run(&uv_, UV_RUN_DEFAULT);  // pending closes and work of the thread pool finish
  HEARTH_CHECK(uv_loop_close(&uv_) == 0);
}

void Loop::run() {
  uv_run(&uv_, UV_RUN_DEFAULT);
}

void Loop::make_threads() {
  constexpr int kLibuvsNumber = 4;
  const char* asked = std::getenv("UV_THREADPOOL_SIZE");
  int count = asked ? std::atoi(asked) : kLibuvsNumber;
  if (int error = try_threads(count)) throw sys::Error("start threads", "thread pool", error);
  auto first = std::make_unique<uv_work_t>();
  check_uv(uv_queue_work(
               &uv_, first.get(), [](uv_work_t*) {}, [](uv_work_t* work, int) { delete work; }),
           "uv_queue_work");
  (void)first.release();  // the callback's
}

void Loop::ring() {
  ringing_ = true;
  uv_idle_start(bell_.get(), [](uv_idle_t* bell) { static_cast<Loop*>(bell->data)->drain(); });
}

void Loop::drain() {
  for (int turn = 0; turn < kTurnMax && !ready_.empty(); ++turn) {
    Waiter& waiter = ready_.front();
    waiter.unlink();
    std::exchange(waiter.run_, nullptr)(waiter.argument_);
  }
  if (!ready_.empty()) return;
  uv_idle_stop(bell_.get());
  ringing_ = false;
}

}  // namespace hearth::loop
