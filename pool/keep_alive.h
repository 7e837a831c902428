// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "pool/pool.h"

namespace hearth::pool {

// For how long sandboxes of a function idled before the next call took them, as a histogram, and
// how often it was called lately. Old calls fade. About 130 bytes, constant time per call.
class ArrivalHistory {
 public:
  void called(Time now);
  // A call came that long after the sandbox it needs was last needed, whether or not that one was
  // kept. Times within idle_min tell nothing: so long every sandbox is kept.
  void idled(Duration time, Duration idle_min);

  // How long an idle sandbox should wait for the next call. Each second of waiting costs memory,
  // each start costs the caller time; a start avoided is taken to be worth idle_max of waiting. Of
  // all windows the one with the best balance over the times seen is taken: a function called every
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

// When the first, second, third … of a function's sandboxes was last busy. The one used last serves
// first, so the n-th is needed exactly when n calls run at once: its idle time is the time since
// that was last so.
class Depths {
 public:
  void released(uint32_t nth, Time now);                            // nth: 1 is the first
  std::optional<Duration> idle_time(uint32_t nth, Time now) const;  // none: it was never needed

 private:
  static constexpr uint32_t kMax = 64;  // deeper ones follow the window of the others
  std::vector<Time> since_;
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
