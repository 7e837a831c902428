// SPDX-License-Identifier: Apache-2.0
#include "daemon/loop/deadline.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "daemon/loop/task_set.h"
#include "tests/unit/loop/support.h"

namespace hearth::loop {
namespace {

Task<void> slow_void(Loop& loop, milliseconds delay) {
  Probe probe;
  co_await Sleep(loop, delay);
}

Task<int> thrower(Loop& loop) {
  co_await Sleep(loop, milliseconds(1));
  throw std::runtime_error("boom");
}

Task<bool> deadline_destroys_the_work(Loop& loop) {
  auto late = co_await with_deadline(loop, slow(loop, 1, milliseconds(5000)), milliseconds(10));
  co_return !late.has_value() && Probe::live == 0;
}

TEST(Deadline, LateWorkIsDestroyedBeforeTheAnswer) {
  Loop loop;
  EXPECT_TRUE(run(loop, deadline_destroys_the_work(loop)));
}

TEST(Deadline, WorkInTimeGivesItsValue) {
  Loop loop;
  auto in_time = run(loop, with_deadline(loop, slow(loop, 4, milliseconds(1)), milliseconds(5000)));
  EXPECT_EQ(in_time, 4);
  EXPECT_EQ(run(loop, with_deadline(loop, ready_value(5), milliseconds(5000))), 5);
  EXPECT_EQ(run(loop, with_deadline(loop, ready_value(6), milliseconds(-1))), 6);
  EXPECT_TRUE(run(loop, with_deadline(loop, slow_void(loop, milliseconds(1)), milliseconds(5000))));
}

TEST(Deadline, APassedDeadlineEndsPendingWork) {
  Loop loop;
  EXPECT_FALSE(run(loop, with_deadline_at(loop, slow(loop, 1, milliseconds(5000)), Loop::now()))
                   .has_value());
}

TEST(Deadline, PassesOnAnException) {
  Loop loop;
  EXPECT_THROW((void)run(loop, with_deadline(loop, thrower(loop), milliseconds(5000))),
               std::runtime_error);
}

TEST(Deadline, CanBeCancelledFromOutside) {
  Loop loop;
  {
    auto task = with_deadline(loop, slow(loop, 1, milliseconds(5000)), milliseconds(5000));
    task.start(loop);
    EXPECT_EQ(Probe::live, 1);
  }
  EXPECT_EQ(Probe::live, 0);
  loop.run();
}

TEST(FirstOf, TheFasterWinsAndTheLoserIsDestroyed) {
  Loop loop;
  auto left =
      run(loop, first_of(loop, slow(loop, 1, milliseconds(1)), slow(loop, 2, milliseconds(5000))));
  EXPECT_EQ(left.index(), 0u);
  EXPECT_EQ(std::get<0>(left), 1);
  auto right = run(
      loop, first_of(loop, slow(loop, 1, milliseconds(5000)), slow_void(loop, milliseconds(1))));
  EXPECT_EQ(right.index(), 1u);
  EXPECT_EQ(Probe::live, 0);
}

Task<int> mark(bool& ran) {
  ran = true;
  co_return 1;
}

TEST(FirstOf, TheSecondNeverStartsWhenTheFirstFinishesAtOnce) {
  Loop loop;
  bool ran = false;
  EXPECT_EQ(run(loop, first_of(loop, ready_value(1), mark(ran))).index(), 0u);
  EXPECT_FALSE(ran);
}

TEST(FirstOf, PassesOnTheWinnersException) {
  Loop loop;
  EXPECT_THROW((void)run(loop, first_of(loop, slow(loop, 1, milliseconds(5000)), thrower(loop))),
               std::runtime_error);
  EXPECT_EQ(Probe::live, 0);
}

Task<void> throw_later(Loop& loop) {
  (void)co_await thrower(loop);
}
Task<void> throw_now() {
  throw std::runtime_error("at once");
  co_return;
}

TEST(TaskSet, FreesFinishedTasksAndReportsEmpty) {
  Loop loop;
  TaskSet set(loop, [](std::exception_ptr) { FAIL(); });
  EXPECT_EQ(set.size(), 0u);
  for (int i = 1; i <= 3; ++i) set.add(slow_void(loop, milliseconds(i)));
  EXPECT_EQ(set.size(), 3u);
  EXPECT_EQ(Probe::live, 3);
  auto wait = [](TaskSet& s) -> Task<size_t> {
    co_await s.empty();
    co_return s.size();
  };
  EXPECT_EQ(run(loop, wait(set)), 0u);
  EXPECT_EQ(Probe::live, 0);
}

TEST(TaskSet, ATaskThatFinishesAtOnceLeavesNothing) {
  Loop loop;
  TaskSet set(loop, [](std::exception_ptr) { FAIL(); });
  auto nothing = []() -> Task<void> { co_return; };
  for (int i = 0; i < 1000; ++i) set.add(nothing());
  EXPECT_EQ(set.size(), 0u);
}

TEST(TaskSet, ReportsExceptionsAndKeepsTheOthers) {
  Loop loop;
  int failures = 0;
  TaskSet set(loop, [&](std::exception_ptr error) {
    EXPECT_THROW(std::rethrow_exception(error), std::runtime_error);
    ++failures;
  });
  set.add(throw_now());
  EXPECT_EQ(failures, 1);
  set.add(throw_later(loop));
  set.add(slow_void(loop, milliseconds(5)));
  loop.run();
  EXPECT_EQ(failures, 2);
  EXPECT_EQ(set.size(), 0u);
}

TEST(TaskSet, DestructionCancelsEverything) {
  Loop loop;
  {
    TaskSet set(loop, [](std::exception_ptr) { FAIL(); });
    for (int i = 0; i < 10; ++i) set.add(slow_void(loop, milliseconds(5000)));
    EXPECT_EQ(Probe::live, 10);
  }
  EXPECT_EQ(Probe::live, 0);
  loop.run();
}

Task<void> grow(Loop& loop, TaskSet& set, int left) {
  co_await Sleep(loop, milliseconds(0));
  if (left > 0) set.add(grow(loop, set, left - 1));
}

TEST(TaskSet, ATaskMayAddAnother) {
  Loop loop;
  TaskSet set(loop, [](std::exception_ptr) { FAIL(); });
  set.add(grow(loop, set, 20));
  loop.run();
  EXPECT_EQ(set.size(), 0u);
}

}  // namespace
}  // namespace hearth::loop
