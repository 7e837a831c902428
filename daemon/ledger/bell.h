// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>

namespace hearth::ledger {

// Wakes one sleeping thread. Ringing costs a system call only when that thread is really asleep and
// has not been rung for yet; a ring while it works is remembered.
class Bell {
 public:
  void ring() {
    if (word_.exchange(kRung) == kAsleep) {
      ::syscall(SYS_futex, &word_, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
    }
  }

  // Sleeps until rung or until the time is over. Spurious returns are possible.
  void wait(std::chrono::milliseconds at_most) {
    uint32_t expected = kAwake;
    if (word_.compare_exchange_strong(expected, kAsleep)) {
      timespec span{at_most.count() / 1000, at_most.count() % 1000 * 1'000'000};
      ::syscall(SYS_futex, &word_, FUTEX_WAIT_PRIVATE, kAsleep, &span, nullptr, 0);
    }
    (void)word_.exchange(kAwake);  // an exchange, so that what the ringer did before is seen
  }

 private:
  static constexpr uint32_t kAwake = 0, kAsleep = 1, kRung = 2;
  std::atomic<uint32_t> word_{kAwake};
  static_assert(sizeof(std::atomic<uint32_t>) == sizeof(uint32_t));
};

}  // namespace hearth::ledger
