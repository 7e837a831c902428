// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "pool/pool.h"

namespace hearth::pool {

// When a function was called: a histogram of the gaps between its calls, and how often it was
// called lately. Old calls fade. About 130 bytes, constant time per call.
class ArrivalHistory {
 public:
  void add(Time now);

  // How long an idle sandbox should wait for the next call. Each second of waiting costs memory,
  // each start costs the caller time; a start avoided is taken to be worth idle_max of waiting. Of
  // all windows the one with the best balance over the gaps seen is taken: a function called every
  // ten minutes is kept for a little more than ten minutes; one called every hour is dropped
  // after idle_min, because waiting idle_max for it would never pay. Always within
  // [idle_min, idle_max].
  Duration window(Duration idle_min, Duration idle_max) const;

  // Calls of the last ten minutes or so (each one counts half after ten minutes).
  double frequency(Time now) const;

 private:
  // Four bins per octave, from one second to 71 minutes; the first holds all shorter gaps, the
  // last all longer ones.
  static constexpr uint32_t kOctaves = 12;
  static constexpr uint32_t kBins = 1 + 4 * kOctaves + 1;
  static uint32_t bin(Duration gap);
  static Duration upper_edge(uint32_t bin);

  std::array<uint16_t, kBins> gaps_{};
  uint32_t total_ = 0;
  std::optional<Time> last_;
  double frequency_ = 0;
};

// A moving average of durations; the latest counts an eighth.
class MeanDuration {
 public:
  bool known() const { return known_; }
  Duration or_else(Duration otherwise) const { return known_ ? mean_ : otherwise; }
  void add(Duration sample) {
    mean_ = known_ ? mean_ + (sample - mean_) / 8 : sample;
    known_ = true;
  }

 private:
  Duration mean_{};
  bool known_ = false;
};

}  // namespace hearth::pool
