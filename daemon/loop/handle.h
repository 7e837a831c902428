// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <uv.h>

#include <memory>

namespace hearth::loop {

// libuv may touch a handle until its close callback has run, so the loop, not the owner, frees the
// memory.
template <typename T>
struct CloseHandle {
  void operator()(T* handle) const {
    uv_close(reinterpret_cast<uv_handle_t*>(handle),
             [](uv_handle_t* closed) { delete reinterpret_cast<T*>(closed); });
  }
};

// Owns an initialised libuv handle; destruction closes it and no callback of it runs any more.
template <typename T>
using Handle = std::unique_ptr<T, CloseHandle<T>>;

}  // namespace hearth::loop
