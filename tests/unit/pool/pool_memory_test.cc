// SPDX-License-Identifier: Apache-2.0
// The memory bound, eviction, and what is kept without calls.
#include <gtest/gtest.h>

#include "tests/unit/pool/simulated_host.h"

namespace hearth::pool {
namespace {

constexpr uint64_t kMiB = 1 << 20;

Limits limits_of(uint64_t memory_mib) {
  Limits limits;
  limits.memory_bytes_max = memory_mib * kMiB;
  limits.generic_memory_bytes = 32 * kMiB;
  return limits;
}

TEST(PoolMemory, EvictsAnIdleSandboxForACallThatNeedsTheRoom) {
  SimulatedHost host(limits_of(256), {});
  const FunctionId a = host.deploy(function_of("t", "a"), milliseconds(5));
  const FunctionId b = host.deploy(function_of("t", "b"), milliseconds(5));
  const FunctionId c = host.deploy(function_of("t", "c"), milliseconds(5));
  host.call(a);
  host.call(b);
  host.run_for(seconds(1));
  const CallId call = host.call(c);
  host.run_for(seconds(1));
  EXPECT_TRUE(host.outcome(call).finished);
  EXPECT_EQ(host.pool().counts().ready, 2u);
}

TEST(PoolMemory, EvictsWhatIsCalledLeast) {
  SimulatedHost host(limits_of(256), {});
  const FunctionId often = host.deploy(function_of("t", "often"), milliseconds(5));
  const FunctionId seldom = host.deploy(function_of("t", "seldom"), milliseconds(5));
  const FunctionId third = host.deploy(function_of("t", "third"), milliseconds(5));
  for (int i = 0; i < 50; ++i) host.call_at(host.now() + milliseconds(100 * i), often);
  host.run_for(seconds(6));
  host.call(seldom);  // used last
  host.run_for(seconds(1));
  host.call(third);
  host.run_for(seconds(1));
  EXPECT_EQ(host.pool().counts(often).ready, 1u);
  EXPECT_EQ(host.pool().counts(seldom).ready, 0u);
}

TEST(PoolMemory, EvictsWhatOccupiesMostForTheSameUse) {
  SimulatedHost host(limits_of(1024), {});
  const FunctionId small = host.deploy(function_of("t", "small", 128 * kMiB), milliseconds(5));
  const FunctionId large = host.deploy(function_of("t", "large", 768 * kMiB), milliseconds(5));
  const FunctionId third = host.deploy(function_of("t", "third", 256 * kMiB), milliseconds(5));
  host.call(small);
  host.run_for(seconds(1));
  host.call(large);  // used last
  host.run_for(seconds(1));
  host.call(third);
  host.run_for(seconds(1));
  EXPECT_EQ(host.pool().counts(small).ready, 1u);
  EXPECT_EQ(host.pool().counts(large).ready, 0u);
}

TEST(PoolMemory, WhatIsNotUsedAgesAgainstWhatIs) {
  SimulatedHost host(limits_of(256), {});
  const FunctionId once_busy = host.deploy(function_of("t", "old"), milliseconds(1));
  for (int i = 0; i < 20; ++i) host.call_at(host.now() + milliseconds(50 * i), once_busy);
  host.run_for(seconds(2));
  // Others, each called once, follow each other in the other half; each eviction advances the
  // clock, and once it has passed the worth of twenty calls, those count no more.
  for (int i = 0; i < 60; ++i) {
    const FunctionId other = host.deploy(function_of("t", std::to_string(i)), milliseconds(1));
    host.call(other);
    host.run_for(milliseconds(300));
    if (i == 5) {
      EXPECT_EQ(host.pool().counts(once_busy).ready, 1u);
    }
  }
  EXPECT_EQ(host.pool().counts(once_busy).ready, 0u);
}

TEST(PoolMemory, GenericSandboxesGoFirstAndWarmMinLast) {
  SimulatedHost host(limits_of(400), {});
  Function kept_function = function_of("t", "kept");
  kept_function.warm_min = 1;
  Function base_function = function_of("t", "base");
  base_function.generic_key = "t/python3/python3";
  const FunctionId kept = host.deploy(kept_function, milliseconds(5));
  host.deploy(base_function, milliseconds(5));
  const FunctionId a = host.deploy(function_of("t", "a"), milliseconds(5));
  const FunctionId b = host.deploy(function_of("t", "b"), milliseconds(5));
  const FunctionId c = host.deploy(function_of("t", "c"), milliseconds(5));
  host.call(a);
  host.run_for(seconds(1));
  EXPECT_EQ(host.pool().counts().generic, 1u);
  host.call(b);
  host.run_for(seconds(1));
  EXPECT_EQ(host.pool().counts().generic, 0u);
  EXPECT_EQ(host.pool().counts(a).ready, 1u);
  EXPECT_EQ(host.pool().counts(kept).ready, 1u);
  host.call(c);
  host.run_for(seconds(1));
  EXPECT_EQ(host.pool().counts(a).ready + host.pool().counts(b).ready, 1u);
  EXPECT_EQ(host.pool().counts(kept).ready, 1u);
}

TEST(PoolMemory, WarmMinGivesWayOnlyToACallThatNothingElseHasRoomFor) {
  SimulatedHost host(limits_of(256), {});
  Function kept_function = function_of("t", "kept");
  kept_function.warm_min = 2;
  const FunctionId kept = host.deploy(kept_function, milliseconds(5));
  host.run_for(seconds(1));
  EXPECT_EQ(host.pool().counts(kept).ready, 2u);
  const FunctionId other = host.deploy(function_of("t", "other"), milliseconds(5));
  const CallId call = host.call(other);
  host.run_for(seconds(1));
  EXPECT_TRUE(host.outcome(call).finished);
  EXPECT_EQ(host.pool().counts(kept).ready, 1u);
  host.run_for(seconds(60));  // the other one expires, what was promised comes back
  EXPECT_EQ(host.pool().counts(kept).ready, 2u);
}

TEST(PoolMemory, ACallWaitsForRoomThatRunningCallsHold) {
  SimulatedHost host(limits_of(128), {});
  const FunctionId a = host.deploy(function_of("t", "a"), seconds(5));
  const FunctionId b = host.deploy(function_of("t", "b"), milliseconds(5));
  host.call(a);
  host.run_for(seconds(1));
  const CallId call = host.call(b);
  host.run_for(seconds(1));
  EXPECT_FALSE(host.outcome(call).assigned);
  host.run_for(seconds(5));
  EXPECT_TRUE(host.outcome(call).finished);
}

TEST(PoolMemory, ABusyFunctionDoesNotStarveAnotherOfItsTenant) {
  SimulatedHost host(limits_of(128), {});
  Function busy_function = function_of("t", "busy");
  busy_function.reuse = Reuse::kProcess;
  const FunctionId busy = host.deploy(busy_function, milliseconds(10));
  const FunctionId other = host.deploy(function_of("t", "other"), milliseconds(10));
  for (int ms = 0; ms < 20'000; ms += 9) host.call_at(Time{} + milliseconds(ms), busy);
  host.run_for(seconds(2));
  const CallId call = host.call(other);
  host.run_for(seconds(5));
  EXPECT_TRUE(host.outcome(call).finished);
}

TEST(PoolMemory, ASpecialisedGenericSandboxNeedsOnlyTheDifference) {
  SimulatedHost host(limits_of(128), {});
  Function function = function_of("t", "f");
  function.generic_key = "k";
  const FunctionId id = host.deploy(function, milliseconds(5));
  host.run_for(seconds(1));
  EXPECT_EQ(host.pool().counts().generic, 1u);
  const CallId call = host.call(id);
  host.run_for(seconds(1));
  EXPECT_EQ(host.outcome(call).start, Start::kGeneric);
  EXPECT_EQ(host.pool().counts().generic, 0u) << "there is no room for another";
}

TEST(PoolMemory, AGenericSandboxThatTheCallCanUseIsNotEvictedForIt) {
  SimulatedHost host(limits_of(200), {});
  const FunctionId other = host.deploy(function_of("t", "other"), milliseconds(5));
  host.call(other);
  host.run_for(seconds(1));
  Function function = function_of("t", "f");
  function.generic_key = "k";
  const FunctionId id = host.deploy(function, milliseconds(5));
  host.run_for(seconds(1));
  const CallId call = host.call(id);
  host.run_for(seconds(1));
  EXPECT_EQ(host.outcome(call).start, Start::kGeneric);
  EXPECT_EQ(host.pool().counts(other).ready, 0u);
}

TEST(PoolMemory, WarmMinTakesTheRoomOfGenericSandboxes) {
  SimulatedHost host(limits_of(150), {});
  Function base_function = function_of("t", "base");
  base_function.generic_key = "k";
  host.deploy(base_function, milliseconds(5));
  host.run_for(seconds(1));
  EXPECT_EQ(host.pool().counts().generic, 1u);
  Function kept_function = function_of("t", "kept");
  kept_function.warm_min = 1;
  const FunctionId kept = host.deploy(kept_function, milliseconds(5));
  host.run_for(seconds(1));
  EXPECT_EQ(host.pool().counts(kept).ready, 1u);
  EXPECT_EQ(host.pool().counts().generic, 0u);
}

TEST(PoolMemory, SandboxesMaxIsKeptLikeMemory) {
  Limits limits = limits_of(64 * 1024);
  limits.sandboxes_max = 3;
  SimulatedHost host(limits, {});
  for (int i = 0; i < 10; ++i) {
    const FunctionId id = host.deploy(function_of("t", std::to_string(i)), milliseconds(50));
    for (int n = 0; n < 5; ++n) host.call(id);
  }
  host.run_for(seconds(25));  // the checker counts
  for (const auto& [id, outcome] : host.outcomes()) EXPECT_TRUE(outcome.finished);
}

TEST(PoolKeepAlive, AFunctionCalledByATimerIsFoundWarm) {
  SimulatedHost host(limits_of(64 * 1024), {.tick = seconds(1)});
  const FunctionId function = host.deploy(function_of("t", "timer"), milliseconds(100));
  for (int i = 0; i < 24; ++i) host.call_at(Time{} + i * minutes(10), function);
  host.run_until(Time{} + minutes(240));
  uint32_t warm = 0;
  for (const auto& outcome : host.outcomes_of(function)) warm += outcome.start == Start::kWarm;
  EXPECT_GE(warm, 22u);
}

TEST(PoolKeepAlive, ARareFunctionIsDroppedAfterIdleMin) {
  SimulatedHost host(limits_of(64 * 1024), {.tick = seconds(1)});
  const FunctionId function = host.deploy(function_of("t", "rare"), milliseconds(100));
  for (int i = 0; i < 6; ++i) host.call_at(Time{} + i * minutes(60), function);
  host.run_until(Time{} + minutes(300) + seconds(20));
  EXPECT_EQ(host.pool().counts(function).ready, 1u);
  host.run_for(seconds(15));
  EXPECT_EQ(host.pool().counts(function).ready, 0u);
}

TEST(PoolKeepAlive, AFunctionSeenOnceIsKeptForIdleMin) {
  SimulatedHost host(limits_of(64 * 1024), {});
  const FunctionId function = host.deploy(function_of("t", "once"), milliseconds(100));
  host.call(function);
  host.run_until(Time{} + seconds(30));
  EXPECT_EQ(host.pool().counts(function).ready, 1u);
  host.run_until(Time{} + seconds(31));
  EXPECT_EQ(host.pool().counts(function).ready, 0u);
}

TEST(PoolKeepAlive, SandboxesOfABurstGoWhenTheBurstIsOver) {
  SimulatedHost host(limits_of(64 * 1024), {.tick = seconds(1)});
  const FunctionId function = host.deploy(function_of("t", "f"), seconds(1));
  for (int i = 0; i < 8; ++i) host.call(function);
  for (int i = 1; i < 60; ++i) host.call_at(Time{} + i * seconds(5), function);
  host.run_until(Time{} + seconds(103));
  EXPECT_EQ(host.pool().counts(function).ready, 1u);
}

TEST(PoolKeepAlive, AnActiveKeyKeepsAGenericSandboxAndAQuietOneNone) {
  SimulatedHost host(limits_of(64 * 1024), {.tick = seconds(1)});
  Function function = function_of("t", "f");
  function.generic_key = "k";
  const FunctionId id = host.deploy(function, milliseconds(5));
  for (int i = 0; i < 5; ++i) host.call_at(Time{} + i * minutes(5), id);
  host.run_until(Time{} + minutes(20) + seconds(1));
  EXPECT_EQ(host.pool().counts().generic, 1u);
  host.run_for(minutes(9));
  EXPECT_EQ(host.pool().counts().generic, 1u);
  host.run_for(minutes(2));
  EXPECT_EQ(host.pool().counts().generic, 0u);
  host.call(id);
  host.run_for(seconds(2));
  EXPECT_EQ(host.pool().counts().generic, 1u) << "it is active again";
}

TEST(PoolKeepAlive, GenericMaxIsKept) {
  Limits limits = limits_of(64 * 1024);
  limits.generic_max = 3;
  SimulatedHost host(limits, {});
  for (int i = 0; i < 10; ++i) {
    Function function = function_of("t", std::to_string(i));
    function.generic_key = "k" + std::to_string(i);
    host.deploy(function, milliseconds(5));
  }
  host.run_for(seconds(10));
  EXPECT_EQ(host.pool().counts().generic, 3u);
}

TEST(PoolKeepAlive, AGenericSandboxGoesWithTheLastFunctionOfItsKey) {
  SimulatedHost host(limits_of(64 * 1024), {});
  Function function = function_of("t", "f");
  function.generic_key = "k";
  const FunctionId id = host.deploy(function, milliseconds(5));
  host.run_for(seconds(1));
  host.retire(id);
  host.run_for(seconds(1));
  EXPECT_TRUE(host.pool().drained());
  const FunctionId second = host.deploy(function, milliseconds(5));
  host.retire(second);  // while it is being built
  host.run_for(seconds(1));
  EXPECT_TRUE(host.pool().drained());
}

}  // namespace
}  // namespace hearth::pool
