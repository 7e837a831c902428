// SPDX-License-Identifier: Apache-2.0
#include "daemon/loop/task.h"

#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>

#include "daemon/loop/event.h"
#include "tests/unit/loop/support.h"

namespace hearth::loop {
namespace {

Task<long> sum_of_ready(int count) {
  long sum = 0;
  for (int i = 0; i < count; ++i) sum += co_await ready_value(1);
  co_return sum;
}

TEST(Task, AMillionReadyAwaitsNeedNoStack) {
  Loop loop;
  EXPECT_EQ(run(loop, sum_of_ready(1'000'000)), 1'000'000);
}

Task<int> nested(Loop& loop, int depth) {
  Probe probe;
  if (depth == 0) co_return co_await slow(loop, 7, milliseconds(1));
  co_return co_await nested(loop, depth - 1);
}

TEST(Task, AValueComesThroughNestedSuspendedFrames) {
  Loop loop;
  EXPECT_EQ(run(loop, nested(loop, 50)), 7);
  EXPECT_EQ(Probe::live, 0);
}

TEST(Task, NothingRunsBeforeItIsStarted) {
  Loop loop;
  { Task<int> task = slow(loop, 1, milliseconds(1)); }
  Task<int> task = slow(loop, 1, milliseconds(1));
  EXPECT_EQ(Probe::live, 0);
  task.start(loop);
  EXPECT_EQ(Probe::live, 1);
}

TEST(Task, DestroyingItDestroysEveryNestedFrame) {
  Loop loop;
  {
    Task<int> task = nested(loop, 10);
    task.start(loop);
    EXPECT_EQ(Probe::live, 12);
  }
  EXPECT_EQ(Probe::live, 0);
  loop.run();
}

Task<void> wait_and_count(Event& event, int& count) {
  co_await event.wait();
  ++count;
}

TEST(Task, WhatIsDestroyedWhileQueuedIsNotResumed) {
  Loop loop;
  Event event(loop);
  int count = 0;
  Task<void> kept = wait_and_count(event, count);
  kept.start(loop);
  {
    Task<void> dropped = wait_and_count(event, count);
    dropped.start(loop);
    event.set();
  }
  loop.run();
  EXPECT_EQ(count, 1);
}

Task<int> thrower(Loop& loop, milliseconds delay) {
  Probe probe;
  if (delay.count() > 0) co_await Sleep(loop, delay);
  throw std::runtime_error("boom");
}

Task<std::string> catcher(Loop& loop, milliseconds delay) {
  try {
    (void)co_await thrower(loop, delay);
  } catch (const std::runtime_error& error) {
    co_return error.what();
  }
  co_return "nothing thrown";
}

TEST(Task, AnExceptionReachesWhoAwaits) {
  Loop loop;
  EXPECT_EQ(run(loop, catcher(loop, milliseconds(0))), "boom");
  EXPECT_EQ(run(loop, catcher(loop, milliseconds(1))), "boom");
  EXPECT_EQ(Probe::live, 0);
}

TEST(Task, AnExceptionComesOutOfTake) {
  Loop loop;
  EXPECT_THROW((void)run(loop, thrower(loop, milliseconds(1))), std::runtime_error);
}

Task<std::unique_ptr<int>> move_only() {
  co_return std::make_unique<int>(3);
}

TEST(Task, CarriesMoveOnlyValues) {
  Loop loop;
  EXPECT_EQ(*run(loop, move_only()), 3);
}

TEST(Task, AssigningAnotherTaskCancelsTheOldOne) {
  Loop loop;
  Task<int> task = slow(loop, 1, milliseconds(1000));
  task.start(loop);
  task = slow(loop, 2, milliseconds(1));
  EXPECT_EQ(Probe::live, 0);
  EXPECT_EQ(run(loop, std::move(task)), 2);
  EXPECT_FALSE(Task<int>());
}

TEST(Task, StartWakesTheContinuationWhenItFinishesLater) {
  Loop loop;
  bool woken = false;
  Waiter waiter;
  waiter.park([](void* flag) { *static_cast<bool*>(flag) = true; }, &woken);
  Task<int> task = slow(loop, 5, milliseconds(1));
  task.start(loop, &waiter);
  EXPECT_FALSE(woken);
  loop.run();
  EXPECT_TRUE(woken);
  EXPECT_EQ(task.take(), 5);
}

Task<int> result_of(Task<int> started) {
  co_await started.end();
  co_return started.take();
}

TEST(Task, AStartedOneGoesOnForAnotherOwner) {
  Loop loop;
  Task<int> first = nested(loop, 3);
  {
    Task<int> work = slow(loop, 5, milliseconds(1));
    work.start(loop);
    first = result_of(std::move(work));
  }
  EXPECT_EQ(run(loop, std::move(first)), 5);
  Task<int> done = ready_value(4);
  done.start(loop);
  EXPECT_EQ(run(loop, result_of(std::move(done))), 4);
  EXPECT_EQ(Probe::live, 0);
}

TEST(FramePool, GivesFramesOfEverySizeBack) {
  for (std::size_t bytes : {1u, 63u, 64u, 65u, 2048u, 2049u, 100'000u}) {
    void* a = frame_allocate(bytes);
    void* b = frame_allocate(bytes);
    EXPECT_NE(a, b);
    std::fill_n(static_cast<char*>(a), bytes, 'a');
    std::fill_n(static_cast<char*>(b), bytes, 'b');
    frame_free(a, bytes);
    frame_free(b, bytes);
  }
}

}  // namespace
}  // namespace hearth::loop
