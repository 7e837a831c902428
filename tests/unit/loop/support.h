// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <utility>

#include "daemon/loop/loop.h"
#include "daemon/loop/sleep.h"
#include "daemon/loop/task.h"

namespace hearth::loop {

using std::chrono::milliseconds;

// Counts the frames that are alive: one as a local of each.
struct Probe {
  static inline int live = 0;
  Probe() { ++live; }
  Probe(const Probe&) = delete;
  Probe& operator=(const Probe&) = delete;
  ~Probe() { --live; }
};

// Starts the task, runs the loop until nothing is left to do, and gives back the result.
template <typename T>
T run(Loop& loop, Task<T> task) {
  task.start(loop);
  loop.run();
  HEARTH_CHECK(task.done());
  return task.take();
}

inline Task<int> slow(Loop& loop, int value, milliseconds delay) {
  Probe probe;
  co_await Sleep(loop, delay);
  co_return value;
}

inline Task<int> ready_value(int value) {
  co_return value;
}

}  // namespace hearth::loop
