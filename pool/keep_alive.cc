// SPDX-License-Identifier: Apache-2.0
#include "pool/keep_alive.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace hearth::pool {

namespace {

constexpr uint32_t kGapsMax = 128;  // more are halved, so that a changed habit shows soon
constexpr Duration kHalfLife = std::chrono::minutes(10);
constexpr uint32_t kQuarterShift = 18;  // 2^18 us: a quarter of the shortest second counted

double faded(double count, Duration age) {
  return count * std::exp2(-static_cast<double>(age.count()) / kHalfLife.count());
}

}  // namespace

uint32_t ArrivalHistory::bin(Duration gap) {
  const uint64_t quarters =
      static_cast<uint64_t>(std::max<int64_t>(gap.count(), 0)) >> kQuarterShift;
  if (quarters < 4) return 0;
  const uint32_t octave = static_cast<uint32_t>(std::bit_width(quarters)) - 3;
  const uint32_t quarter = static_cast<uint32_t>(quarters >> octave) & 3;
  return std::min(1 + 4 * octave + quarter, kBins - 1);
}

Duration ArrivalHistory::upper_edge(uint32_t bin) {
  if (bin == 0) return Duration(int64_t{4} << kQuarterShift);
  const uint32_t octave = (bin - 1) / 4;
  const uint32_t quarter = (bin - 1) % 4;
  return Duration(int64_t{5 + quarter} << octave << kQuarterShift);
}

void ArrivalHistory::called(Time now) {
  frequency_ = frequency(now) + 1;
  last_ = now;
}

void ArrivalHistory::idled(Duration time, Duration idle_min) {
  if (time <= idle_min) return;
  ++gaps_[bin(time)];
  if (++total_ < kGapsMax) return;
  total_ = 0;
  for (uint16_t& count : gaps_) total_ += count = static_cast<uint16_t>(count / 2);
}

double ArrivalHistory::frequency(Time now) const {
  return last_ ? faded(frequency_, now - *last_) : 0;
}

Duration ArrivalHistory::window(Duration idle_min, Duration idle_max) const {
  idle_max = std::max(idle_min, idle_max);
  Duration best = idle_min;
  int64_t best_balance = -(idle_min.count() * total_);
  int64_t hits = 0;
  int64_t waited = 0;  // over the gaps that ended inside the window
  Duration lower{};
  for (uint32_t i = 0; i + 1 < kBins; ++i) {
    const Duration upper = upper_edge(i);
    const Duration middle = (lower + upper) / 2;
    if (middle > idle_max) break;
    hits += gaps_[i];
    waited += gaps_[i] * middle.count();
    lower = upper;
    if (gaps_[i] == 0) continue;
    // A bin's edge and an eighth: calls by a timer come a little late.
    const Duration window = std::clamp(upper + upper / 8, idle_min, idle_max);
    const int64_t balance = hits * idle_max.count() - waited - (total_ - hits) * window.count();
    if (balance > best_balance) {
      best_balance = balance;
      best = window;
    }
  }
  return best;
}

void Depths::released(uint32_t nth, Time now) {
  if (nth > kMax) return;
  if (since_.size() < nth) since_.resize(nth, Time::min());
  since_[nth - 1] = now;
}

std::optional<Duration> Depths::idle_time(uint32_t nth, Time now) const {
  if (nth > since_.size() || since_[nth - 1] == Time::min()) return std::nullopt;
  return std::max(now - since_[nth - 1], Duration(0));
}

}  // namespace hearth::pool
