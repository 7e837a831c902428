// SPDX-License-Identifier: Apache-2.0
// Many calls at once: queues, bounds, cancel storms.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/pool/simulated_host.h"

namespace hearth::pool {
namespace {

constexpr uint64_t kMiB = 1 << 20;

Limits limits_of(uint64_t memory_mib) {
  Limits limits;
  limits.memory_bytes_max = memory_mib * kMiB;
  limits.generic_memory_bytes = 32 * kMiB;
  limits.waiting_per_function_max = 2000;
  limits.waiting_max = 10'000;
  return limits;
}

uint32_t served(const std::vector<SimulatedHost::Outcome>& outcomes) {
  return static_cast<uint32_t>(std::count_if(outcomes.begin(), outcomes.end(),
                                             [](const auto& each) { return each.finished; }));
}

TEST(PoolBurst, OfAThousandCallsStartsNoMoreSandboxesThanConcurrencyMax) {
  SimulatedHost host(limits_of(64 * 1024), {});
  const FunctionId function = host.deploy(function_of("t", "f"), milliseconds(20));
  for (int i = 0; i < 1000; ++i) host.call(function);
  host.run_for(seconds(30));
  EXPECT_EQ(served(host.outcomes_of(function)), 1000u);
  EXPECT_LE(host.sandboxes_most(function), 8u);
  EXPECT_LE(host.started(function), 8u);
}

TEST(PoolBurst, StartsAFewSandboxesAtATime) {
  Limits limits = limits_of(64 * 1024);
  limits.starts_at_once_max = 2;
  SimulatedHost host(limits, {});
  std::vector<FunctionId> functions;
  for (int i = 0; i < 20; ++i) {
    functions.push_back(host.deploy(function_of("t", "f" + std::to_string(i)), milliseconds(5)));
  }
  for (FunctionId function : functions) host.call(function);
  EXPECT_EQ(host.pool().counts().starting, 2u);
  host.run_for(seconds(5));
  for (FunctionId function : functions) EXPECT_EQ(served(host.outcomes_of(function)), 1u);
}

TEST(PoolBurst, ShortCallsQueueWhereAStartWouldTakeLonger) {
  SimulatedHost host(limits_of(64 * 1024), {});
  const FunctionId function = host.deploy(function_of("t", "f"), milliseconds(2));
  host.call(function);
  host.run_for(seconds(1));
  for (int i = 0; i < 10; ++i) host.call(function);  // 40 ms of queue, 100 ms of start
  host.run_for(seconds(1));
  EXPECT_EQ(host.started(function), 1u);
  EXPECT_EQ(served(host.outcomes_of(function)), 11u);
}

TEST(PoolBurst, LongCallsGetMoreSandboxesInstead) {
  SimulatedHost host(limits_of(64 * 1024), {});
  const FunctionId function = host.deploy(function_of("t", "f"), seconds(2));
  host.call(function);
  host.run_for(seconds(5));
  for (int i = 0; i < 4; ++i) host.call(function);
  host.run_for(seconds(1));
  EXPECT_EQ(host.pool().counts(function).running, 4u);
}

TEST(PoolBurst, AQueueThatTurnsOutSlowGetsASandboxAfterAll) {
  SimulatedHost host(limits_of(64 * 1024), {});
  const FunctionId function = host.deploy(function_of("t", "f"), milliseconds(2));
  host.call(function);
  host.run_for(seconds(1));
  // This call hangs: the pool expects 2 ms, and queues the next one behind it.
  host.set_run(function, seconds(20));
  host.call(function);
  const CallId second = host.call(function);
  EXPECT_EQ(host.pool().counts(function).starting, 0u);
  host.run_for(milliseconds(500));
  EXPECT_TRUE(host.outcome(second).assigned);
}

TEST(PoolBurst, AQueueThatLastsGetsSandboxesThoughEachCallWaitsShortly) {
  SimulatedHost host(limits_of(64 * 1024), {});
  const FunctionId function = host.deploy(function_of("t", "f"), milliseconds(2));
  host.call(function);
  host.run_for(seconds(1));
  // Three clients that call again when they are answered.
  for (int i = 0; i < 1000; ++i) {
    const auto outcomes = host.outcomes_of(function);
    for (auto open = outcomes.size() - served(outcomes); open < 3; ++open) host.call(function);
    host.run_for(milliseconds(1));
  }
  EXPECT_GE(host.started(function), 3u);
  EXPECT_LE(host.started(function), 4u);  // one for the time that the others recycle
}

TEST(PoolBurst, ConcurrencyMaxCountsOverAllVersions) {
  SimulatedHost host(limits_of(64 * 1024), {});
  Function function = function_of("t", "f");
  function.concurrency_max = 2;
  const FunctionId old_version = host.deploy(function, milliseconds(500));
  const FunctionId new_version = host.deploy(function, milliseconds(500));
  for (int i = 0; i < 10; ++i) {
    host.call(old_version);
    host.call(new_version);
  }
  host.run_for(seconds(20));  // the checker counts sandboxes
  EXPECT_EQ(served(host.outcomes_of(old_version)), 10u);
  EXPECT_EQ(served(host.outcomes_of(new_version)), 10u);
}

TEST(PoolBurst, AnIdleSandboxOfAnOldVersionMakesWayForTheNewOne) {
  SimulatedHost host(limits_of(64 * 1024), {});
  Function function = function_of("t", "f");
  function.concurrency_max = 1;
  const FunctionId old_version = host.deploy(function, milliseconds(5));
  const FunctionId new_version = host.deploy(function, milliseconds(5));
  host.call(old_version);
  host.run_for(seconds(1));
  EXPECT_EQ(host.pool().counts(old_version).ready, 1u);
  const CallId call = host.call(new_version);
  host.run_for(seconds(1));
  EXPECT_TRUE(host.outcome(call).finished);
}

TEST(PoolBurst, ABusyVersionDoesNotStarveAnotherOfTheSameFunction) {
  SimulatedHost host(limits_of(64 * 1024), {});
  Function function = function_of("t", "f");
  function.concurrency_max = 1;
  function.reuse = Reuse::kProcess;
  const FunctionId busy = host.deploy(function, milliseconds(10));
  const FunctionId other = host.deploy(function, milliseconds(10));
  for (int ms = 0; ms < 20'000; ms += 9) host.call_at(Time{} + milliseconds(ms), busy);
  host.run_for(seconds(2));
  const CallId call = host.call(other);
  host.run_for(seconds(5));
  EXPECT_TRUE(host.outcome(call).finished);
}

TEST(PoolBurst, ATenantRunsNoMoreCallsThanItMay) {
  SimulatedHost host(limits_of(64 * 1024), {});
  host.pool().set_tenant("t", {.concurrency_max = 3});
  std::vector<FunctionId> functions;
  for (int i = 0; i < 5; ++i) {
    functions.push_back(host.deploy(function_of("t", "f" + std::to_string(i)), milliseconds(50)));
  }
  for (int i = 0; i < 100; ++i) host.call(functions[i % 5]);
  host.run_for(seconds(25));  // the checker counts calls
  for (FunctionId function : functions) EXPECT_EQ(served(host.outcomes_of(function)), 20u);
}

TEST(PoolBurst, InsideATenantNoFunctionTakesEveryTurn) {
  SimulatedHost host(limits_of(64 * 1024), {});
  host.pool().set_tenant("t", {.concurrency_max = 1});
  Function busy_function = function_of("t", "busy");
  busy_function.reuse = Reuse::kProcess;
  const FunctionId busy = host.deploy(busy_function, milliseconds(10));
  const FunctionId rare = host.deploy(function_of("t", "rare"), milliseconds(10));
  for (int i = 0; i < 50; ++i) host.call(busy);
  host.run_for(milliseconds(150));
  const CallId call = host.call(rare);
  for (int i = 0; i < 1000; ++i) host.call(busy);  // younger, and their sandbox is there
  host.run_for(seconds(2));
  EXPECT_TRUE(host.outcome(call).finished);
}

TEST(PoolBurst, RaisingATenantsLimitActsWithTheNextTick) {
  SimulatedHost host(limits_of(64 * 1024), {});
  host.pool().set_tenant("t", {.concurrency_max = 0});
  const FunctionId function = host.deploy(function_of("t", "f"), milliseconds(5));
  const CallId call = host.call(function);
  host.run_for(seconds(5));
  EXPECT_FALSE(host.outcome(call).assigned);
  host.pool().set_tenant("t", {.concurrency_max = 1});
  host.run_for(seconds(1));
  EXPECT_TRUE(host.outcome(call).finished);
}

TEST(PoolBurst, ACancelStormLeavesNothingBehind) {
  Limits limits = limits_of(4096);
  SimulatedHost host(limits, {.jitter = 0.5}, 7);
  std::vector<FunctionId> functions;
  for (int i = 0; i < 6; ++i) {
    Function function = function_of("t" + std::to_string(i % 2), "f" + std::to_string(i));
    function.reuse = static_cast<Reuse>(i % 3);
    functions.push_back(host.deploy(function, milliseconds(30)));
  }
  std::vector<CallId> calls;
  for (int round = 0; round < 20; ++round) {
    for (int i = 0; i < 60; ++i) calls.push_back(host.call(functions[i % functions.size()]));
    host.run_for(milliseconds(17 * round));
    for (CallId call : calls) host.cancel(call);
    calls.clear();
    EXPECT_EQ(host.pool().counts().waiting, 0u);
  }
  host.run_for(seconds(5));
  EXPECT_EQ(host.pool().counts().running, 0u);
  EXPECT_EQ(host.pool().counts().stopping, 0u);
  const CallId last = host.call(functions[0]);
  host.run_for(seconds(2));
  EXPECT_TRUE(host.outcome(last).finished);
  host.drain();
  host.run_for(seconds(2));
  EXPECT_TRUE(host.pool().drained());
}

}  // namespace
}  // namespace hearth::pool
