// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <uv.h>

#include <functional>
#include <utility>

#include "daemon/loop/handle.h"
#include "daemon/loop/loop.h"
#include "sandbox/sys/error.h"

namespace hearth::loop {

// Calls a function on the loop thread whenever the signal arrives. Destruction restores the
// signal's default action.
class OnSignal {
 public:
  OnSignal(Loop& loop, int number, std::function<void()> arrived) : arrived_(std::move(arrived)) {
    auto handle = std::make_unique<uv_signal_t>();
    int rc = uv_signal_init(loop.uv(), handle.get());
    if (rc < 0) throw sys::Error("uv_signal_init", {}, -rc);
    handle_.reset(handle.release());
    handle_->data = this;
    rc = uv_signal_start(
        handle_.get(), [](uv_signal_t* h, int) { static_cast<OnSignal*>(h->data)->arrived_(); },
        number);
    if (rc < 0) throw sys::Error("uv_signal_start", {}, -rc);
  }
  OnSignal(const OnSignal&) = delete;
  OnSignal& operator=(const OnSignal&) = delete;

 private:
  std::function<void()> arrived_;
  Handle<uv_signal_t> handle_;
};

}  // namespace hearth::loop
