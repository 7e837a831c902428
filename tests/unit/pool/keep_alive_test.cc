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

// One sandbox, and calls that take no time.
struct Calls {
  ArrivalHistory history;
  std::optional<Time> last;
  void add(Time now) {
    history.called(now);
    if (last) history.idled(now - *last, kIdleMin);
    last = now;
  }
};

ArrivalHistory called_every(Duration gap, int times) {
  Calls calls;
  for (int i = 0; i < times; ++i) calls.add(Time{} + gap * i);
  return calls.history;
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
  Calls calls;
  for (int burst = 0; burst < 10; ++burst) {
    for (int i = 0; i < 5; ++i) calls.add(Time{} + hours(2) * burst + milliseconds(10) * i);
  }
  EXPECT_EQ(calls.history.window(kIdleMin, kIdleMax), kIdleMin);
}

TEST(ArrivalHistory, BurstsNearEachOtherAreWaitedFor) {
  Calls calls;
  for (int burst = 0; burst < 10; ++burst) {
    for (int i = 0; i < 5; ++i) calls.add(Time{} + minutes(3) * burst + milliseconds(10) * i);
  }
  EXPECT_GT(calls.history.window(kIdleMin, kIdleMax), minutes(3));
}

TEST(ArrivalHistory, ManyShortPausesHideNoLongOnes) {
  ArrivalHistory history;
  for (int i = 0; i < 10; ++i) {
    for (int j = 0; j < 1000; ++j) history.idled(milliseconds(100), kIdleMin);
    history.idled(minutes(4), kIdleMin);
  }
  EXPECT_GT(history.window(kIdleMin, kIdleMax), minutes(4));
}

TEST(ArrivalHistory, ForgetsAnOldHabit) {
  ArrivalHistory history = called_every(minutes(10), 200);
  for (int i = 0; i < 1000; ++i) history.idled(hours(2), kIdleMin);
  EXPECT_EQ(history.window(kIdleMin, kIdleMax), kIdleMin);
}

TEST(ArrivalHistory, StaysWithinItsBoundsWhateverComes) {
  Calls calls;
  Time now{};
  uint64_t random = 1;
  for (int i = 0; i < 10'000; ++i) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    now += Duration(static_cast<int64_t>((random >> 24) % (uint64_t{1} << (random >> 59))));
    calls.add(now);
    const Duration window = calls.history.window(kIdleMin, kIdleMax);
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

TEST(Depths, TellHowLongTheNthSandboxWasNotNeeded) {
  Depths depths;
  EXPECT_FALSE(depths.idle_time(1, Time{}));
  depths.released(2, Time{} + seconds(10));
  depths.released(1, Time{} + seconds(20));
  EXPECT_EQ(depths.idle_time(1, Time{} + seconds(25)), Duration(seconds(5)));
  EXPECT_EQ(depths.idle_time(2, Time{} + seconds(25)), Duration(seconds(15)));
  EXPECT_EQ(depths.idle_time(2, Time{} + seconds(9)), Duration(0));
  EXPECT_FALSE(depths.idle_time(3, Time{} + seconds(25)));
  depths.released(1'000'000, Time{});  // takes no memory
  EXPECT_FALSE(depths.idle_time(1'000'000, Time{} + hours(1)));
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
