// SPDX-License-Identifier: Apache-2.0
#include "daemon/loop/loop.h"

#include <utility>

#include "sandbox/sys/error.h"

namespace hearth::loop {
namespace {

// libuv returns negated errno values.
void check_uv(int rc, const char* call) {
  if (rc < 0) throw sys::Error(call, {}, -rc);
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
