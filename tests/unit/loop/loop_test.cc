// SPDX-License-Identifier: Apache-2.0
#include "daemon/loop/loop.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "daemon/loop/event.h"
#include "daemon/loop/timer.h"
#include "tests/unit/loop/support.h"

namespace hearth::loop {
namespace {

TEST(Loop, RunReturnsWhenNothingIsLeft) {
  Loop loop;
  loop.run();
}

TEST(Loop, StopEndsRunWhileSomethingIsPending) {
  Loop loop;
  Timer stopper(loop, [&] { loop.stop(); });
  Timer never(loop, [] { FAIL(); });
  stopper.arm(milliseconds(1));
  never.arm(std::chrono::hours(1));
  loop.run();
}

TEST(Loop, AWaiterQueuedByATimerRunsWithoutOtherEvents) {
  Loop loop;
  Time begin = Loop::now();
  EXPECT_EQ(run(loop, slow(loop, 1, milliseconds(20))), 1);
  auto took = Loop::now() - begin;
  EXPECT_GE(took, milliseconds(20));
  EXPECT_LT(took, milliseconds(2000));
}

Task<void> ping(Event& mine, Event& other, bool& stop) {
  while (!stop) {
    co_await mine.wait();
    mine.reset();
    other.set();
  }
}

TEST(Loop, CoroutinesThatWakeEachOtherForEverDoNotStarveTimers) {
  Loop loop;
  Event a(loop), b(loop);
  bool stop = false;
  Timer stopper(loop, [&] { stop = true; });
  stopper.arm(milliseconds(5));
  Task<void> one = ping(a, b, stop), two = ping(b, a, stop);
  one.start(loop);
  two.start(loop);
  a.set();
  loop.run();
  EXPECT_TRUE(stop);
}

TEST(Event, WakesAllWaitersAndStaysSet) {
  Loop loop;
  Event event(loop);
  int woken = 0;
  auto wait = [](Event& e, int& count) -> Task<void> {
    co_await e.wait();
    ++count;
  };
  std::vector<Task<void>> tasks;
  for (int i = 0; i < 3; ++i) {
    tasks.push_back(wait(event, woken));
    tasks.back().start(loop);
  }
  loop.run();
  EXPECT_EQ(woken, 0);
  event.set();
  loop.run();
  EXPECT_EQ(woken, 3);
  run(loop, wait(event, woken));
  EXPECT_EQ(woken, 4);
  event.reset();
  EXPECT_FALSE(event.is_set());
}

TEST(Event, DestroyedWithWaitersNeverWakesThem) {
  Loop loop;
  int woken = 0;
  auto wait = [](Event& e, int& count) -> Task<void> {
    co_await e.wait();
    ++count;
  };
  auto event = std::make_unique<Event>(loop);
  Task<void> a = wait(*event, woken), b = wait(*event, woken);
  a.start(loop);
  b.start(loop);
  event.reset();
  loop.run();
  EXPECT_EQ(woken, 0);
}

TEST(Timer, FiresOnceInOrderOfTimeAndNeverEarly) {
  Loop loop;
  std::vector<int> order;
  std::vector<std::unique_ptr<Timer>> timers;
  Time begin = Loop::now();
  for (int delay : {9, 1, 5, 3, 7}) {
    timers.push_back(std::make_unique<Timer>(loop, [&, delay] {
      EXPECT_GE(Loop::now() - begin, milliseconds(delay));
      order.push_back(delay);
    }));
    timers.back()->arm_at(begin + milliseconds(delay));
  }
  loop.run();
  EXPECT_EQ(order, (std::vector<int>{1, 3, 5, 7, 9}));
}

TEST(Timer, DisarmedTimersNeitherFireNorKeepTheLoopAlive) {
  Loop loop;
  Timer timer(loop, [] { FAIL(); });
  timer.arm(std::chrono::hours(1));
  EXPECT_TRUE(timer.armed());
  timer.disarm();
  EXPECT_FALSE(timer.armed());
  loop.run();
}

TEST(Timer, CanBeMovedLaterAndEarlier) {
  Loop loop;
  int fired = 0;
  Timer timer(loop, [&] { ++fired; });
  Time begin = Loop::now();
  timer.arm(milliseconds(2));
  timer.arm(milliseconds(20));
  loop.run();
  EXPECT_GE(Loop::now() - begin, milliseconds(20));
  EXPECT_EQ(fired, 1);
  timer.arm(std::chrono::hours(1));
  timer.arm(milliseconds(1));
  loop.run();
  EXPECT_EQ(fired, 2);
  timer.arm(Clock::duration::max());  // saturates instead of overflowing
  EXPECT_EQ(timer.due() > Loop::now() + std::chrono::hours(1000), true);
}

TEST(Timer, ATimerThatArmsItselfForNowLetsOthersRun) {
  Loop loop;
  int left = 1000;
  bool other = false;
  Timer* self = nullptr;
  Timer spinning(loop, [&] {
    if (--left > 0) self->arm(milliseconds(0));
  });
  self = &spinning;
  Timer stopper(loop, [&] { other = true; });
  stopper.arm(milliseconds(1));
  spinning.arm(milliseconds(-5));
  loop.run();
  EXPECT_EQ(left, 0);
  EXPECT_TRUE(other);
}

// The same operations on the queue and on a plain list of due times: what fires must agree.
TEST(Timer, AgreesWithAPlainListUnderRandomOperations) {
  Loop loop;
  std::minstd_rand random(42);
  constexpr size_t kTimers = 200;
  std::vector<int> fired(kTimers), expected(kTimers);
  std::vector<std::unique_ptr<Timer>> timers;
  for (size_t i = 0; i < kTimers; ++i) {
    timers.push_back(std::make_unique<Timer>(loop, [&fired, i] { ++fired[i]; }));
  }
  for (int step = 0; step < 20'000; ++step) {
    size_t i = random() % kTimers;
    switch (random() % 4) {
      case 0:
        timers[i]->disarm();
        break;
      case 1:
        timers[i] = std::make_unique<Timer>(loop, [&fired, i] { ++fired[i]; });
        break;
      default:
        timers[i]->arm(std::chrono::microseconds(random() % 30'000));
        break;
    }
  }
  for (size_t i = 0; i < kTimers; ++i) expected[i] = timers[i]->armed() ? 1 : 0;
  loop.run();
  EXPECT_EQ(fired, expected);
}

}  // namespace
}  // namespace hearth::loop
