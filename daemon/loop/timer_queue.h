// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <uv.h>

#include <chrono>
#include <cstddef>
#include <vector>

#include "daemon/loop/handle.h"

namespace hearth::loop {

using Clock = std::chrono::steady_clock;
using Time = Clock::time_point;

// All deadlines of a loop behind one uv_timer_t. Arming allocates nothing and makes no system call.
// Most deadlines never pass: one that is disarmed or moved later keeps its place in the heap until
// that place comes up, so both cost a store.
class TimerQueue {
 public:
  // Lives in what waits; fire(argument) may arm it again but must not destroy it.
  struct Entry {
    Time due = Time::max();  // max: not armed
    Time key{};              // its place in the heap; never later than due
    std::size_t place = kNowhere;
    void (*fire)(void*) = nullptr;
    void* argument = nullptr;
  };

  explicit TimerQueue(uv_loop_t* uv);

  void arm(Entry& entry, Time due);
  void disarm(Entry& entry);
  void remove(Entry& entry);  // before the entry is destroyed

 private:
  static constexpr std::size_t kNowhere = static_cast<std::size_t>(-1);
  void fire_due();
  void schedule();
  void count_armed(int change);
  void put(std::size_t place, Entry* entry);
  void sift_up(std::size_t place);
  void sift_down(std::size_t place);
  void erase(std::size_t place);

  Handle<uv_timer_t> timer_;
  std::vector<Entry*> heap_;
  Time wake_at_ = Time::max();  // when timer_ fires
  Time firing_ = Time::min();   // an entry armed while firing comes later than this
  std::size_t armed_ = 0;
};

}  // namespace hearth::loop
