// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>
#include <vector>

#include "sandbox/sys/error.h"

namespace hearth::ledger {

// Slot numbers on their way from one thread to one other, in order, without a lock or a system
// call. It is as large as the table, and a slot is in it at most once, so it never overflows.
class Ring {
 public:
  explicit Ring(uint32_t capacity) : items_(std::bit_ceil(capacity)) {}

  void push(uint32_t item) {
    uint64_t tail = tail_.load(std::memory_order_relaxed);
    HEARTH_CHECK(tail - head_.load(std::memory_order_acquire) < items_.size());
    items_[tail % items_.size()] = item;
    tail_.store(tail + 1, std::memory_order_release);
  }

  bool pop(uint32_t* item) {
    uint64_t head = head_.load(std::memory_order_relaxed);
    if (head == tail_.load(std::memory_order_acquire)) return false;
    *item = items_[head % items_.size()];
    head_.store(head + 1, std::memory_order_release);
    return true;
  }

 private:
  std::vector<uint32_t> items_;
  alignas(64) std::atomic<uint64_t> head_{0};
  alignas(64) std::atomic<uint64_t> tail_{0};
};

}  // namespace hearth::ledger
