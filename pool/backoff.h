// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>

#include "pool/pool.h"

namespace hearth::pool {

inline constexpr Duration kBackoffFirst = std::chrono::milliseconds(100);
inline constexpr Duration kBackoffLast = std::chrono::seconds(10);

// When something that failed to start may be tried again: after 100 ms, then twice as long each
// time up to 10 s, and one attempt at a time until one succeeds. Only a success that was put to
// use (a clean call) forgets the failures, so that a sandbox that starts well and dies at once
// cannot be restarted without end.
class Backoff {
 public:
  void failed(Time now) {
    probing_ = true;
    if (now < until_) return;  // one of several attempts made together: they count as one
    until_ = now + std::min(kBackoffFirst * (int64_t{1} << std::min(failures_, 10u)), kBackoffLast);
    ++failures_;
  }
  void started() { probing_ = false; }
  void proved() { failures_ = 0; }

  bool blocks(Time now) const { return now < until_; }
  bool probing() const { return probing_; }
  uint32_t failures() const { return failures_; }
  Time until() const { return until_; }

 private:
  uint32_t failures_ = 0;
  Time until_{};
  bool probing_ = false;
};

}  // namespace hearth::pool
