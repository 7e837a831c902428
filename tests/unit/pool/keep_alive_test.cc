// SPDX-License-Identifier: Apache-2.0
#include "pool/keep_alive.h"

#include <gtest/gtest.h>

#include "pool/backoff.h"

namespace hearth::pool {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr Duration kIdleMin = seconds(30);
constexpr Duration kIdleMax = minutes(20);

ArrivalHistory called_every(Duration gap, int times) {
  ArrivalHistory history;
  for (int i = 0; i < times; ++i) history.add(Time{} + gap * i);
  return history;
}

TEST(ArrivalHistory, KnowsNothingAtFirst) {
  EXPECT_EQ(ArrivalHistory().window(kIdleMin, kIdleMax), kIdleMin);
  EXPECT_EQ(called_every(minutes(1), 1).window(kIdleMin, kIdleMax), kIdleMin);
}

TEST(ArrivalHistory, CoversARegularGapWithLittleToSpare) {
  for (Duration gap : {Duration(seconds(40)), Duration(minutes(2)), Duration(minutes(5)),
                       Duration(minutes(10)), Duration(minutes(15))}) {
    const Duration window = called_every(gap, 10).window(kIdleMin, kIdleMax);
    EXPECT_GT(window, gap);
    EXPECT_LE(window, gap + gap / 2);
  }
}

TEST(ArrivalHistory, DoesNotWaitForWhatComesTooLate) {
  EXPECT_EQ(called_every(hours(1), 10).window(kIdleMin, kIdleMax), kIdleMin);
  EXPECT_EQ(called_every(hours(100), 10).window(kIdleMin, kIdleMax), kIdleMin);
}

TEST(ArrivalHistory, BurstsFarApartAreNotWaitedForBetweenBursts) {
  ArrivalHistory history;
  for (int burst = 0; burst < 10; ++burst) {
    for (int i = 0; i < 5; ++i) history.add(Time{} + hours(2) * burst + milliseconds(10) * i);
  }
  EXPECT_EQ(history.window(kIdleMin, kIdleMax), kIdleMin);
}

TEST(ArrivalHistory, BurstsNearEachOtherAreWaitedFor) {
  ArrivalHistory history;
  for (int burst = 0; burst < 10; ++burst) {
    for (int i = 0; i < 5; ++i) history.add(Time{} + minutes(3) * burst + milliseconds(10) * i);
  }
  EXPECT_GT(history.window(kIdleMin, kIdleMax), minutes(3));
}

TEST(ArrivalHistory, ForgetsAnOldHabit) {
  ArrivalHistory history = called_every(minutes(10), 200);
  Time now = Time{} + minutes(10) * 200;
  for (int i = 0; i < 1000; ++i) history.add(now += hours(2));
  EXPECT_EQ(history.window(kIdleMin, kIdleMax), kIdleMin);
}

TEST(ArrivalHistory, StaysWithinItsBoundsWhateverComes) {
  ArrivalHistory history;
  Time now{};
  uint64_t random = 1;
  for (int i = 0; i < 10'000; ++i) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    now += Duration(static_cast<int64_t>((random >> 24) % (uint64_t{1} << (random >> 59))));
    history.add(now);
    const Duration window = history.window(kIdleMin, kIdleMax);
    ASSERT_GE(window, kIdleMin);
    ASSERT_LE(window, kIdleMax);
  }
}

TEST(ArrivalHistory, FrequencyCountsRecentCallsAndFades) {
  const ArrivalHistory history = called_every(seconds(1), 100);
  const Time last = Time{} + seconds(99);
  EXPECT_NEAR(history.frequency(last), 100, 10);
  EXPECT_NEAR(history.frequency(last + minutes(10)), 50, 5);
  EXPECT_LT(history.frequency(last + hours(3)), 0.01);
}

TEST(Backoff, DoublesFromATenthOfASecondToTenSeconds) {
  Backoff backoff;
  Time now{};
  for (int64_t ms : {100, 200, 400, 800, 1600, 3200, 6400, 10'000, 10'000}) {
    EXPECT_FALSE(backoff.blocks(now));
    backoff.failed(now);
    EXPECT_EQ(backoff.until() - now, milliseconds(ms));
    now = backoff.until();
  }
}

TEST(Backoff, AttemptsThatFailTogetherCountAsOne) {
  Backoff backoff;
  for (int i = 0; i < 4; ++i) backoff.failed(Time{} + milliseconds(i));
  EXPECT_EQ(backoff.until(), Time{} + milliseconds(100));
  EXPECT_EQ(backoff.failures(), 1u);
}

TEST(Backoff, OnlyACallThatEndedWellForgets) {
  Backoff backoff;
  backoff.failed(Time{});
  backoff.started();
  EXPECT_EQ(backoff.failures(), 1u);
  backoff.proved();
  EXPECT_EQ(backoff.failures(), 0u);
}

}  // namespace
}  // namespace hearth::pool
