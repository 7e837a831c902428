// SPDX-License-Identifier: Apache-2.0
// Who is served first when there is not room for all.
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

Duration wait_of(const SimulatedHost::Outcome& outcome) {
  return *outcome.assigned - outcome.arrived;
}

TEST(PoolFairness, ALightTenantIsServedWhileAHeavyOneFloods) {
  // Room for four sandboxes; heavy always has 200 calls waiting over 10 functions.
  SimulatedHost host(limits_of(4 * 128), {}, 3);
  std::vector<FunctionId> heavy;
  for (int i = 0; i < 10; ++i) {
    heavy.push_back(host.deploy(function_of("heavy", "h" + std::to_string(i)), milliseconds(50)));
  }
  const FunctionId light = host.deploy(function_of("light", "l"), milliseconds(50));
  for (int ms = 0; ms < 60'000; ms += 25) {
    host.call_at(Time{} + milliseconds(ms), heavy[(ms / 25) % 10]);
    host.call_at(Time{} + milliseconds(ms), heavy[(ms / 25 + 3) % 10]);
    host.call_at(Time{} + milliseconds(ms), heavy[(ms / 25 + 7) % 10]);
  }
  for (int ms = 5000; ms < 55'000; ms += 1000) host.call_at(Time{} + milliseconds(ms), light);
  host.run_until(Time{} + seconds(100));
  std::vector<Duration> waits;
  for (const auto& outcome : host.outcomes_of(light)) {
    ASSERT_TRUE(outcome.finished);
    waits.push_back(wait_of(outcome));
  }
  std::sort(waits.begin(), waits.end());
  EXPECT_LT(waits[waits.size() / 2], milliseconds(300)) << "a call, a destroy and a start";
  EXPECT_LT(waits.back(), milliseconds(1000));
}

TEST(PoolFairness, TenantsThatFloodShareByWeight) {
  SimulatedHost host(limits_of(4 * 128), {}, 3);
  host.pool().set_tenant("one", {.concurrency_max = 64, .weight = 1});
  host.pool().set_tenant("three", {.concurrency_max = 64, .weight = 3});
  const FunctionId one = host.deploy(function_of("one", "f"), milliseconds(100));
  const FunctionId three = host.deploy(function_of("three", "f"), milliseconds(100));
  for (int ms = 0; ms < 60'000; ms += 10) {
    host.call_at(Time{} + milliseconds(ms), one);
    host.call_at(Time{} + milliseconds(ms), three);
  }
  host.run_until(Time{} + seconds(60));
  const double ratio = static_cast<double>(served(host.outcomes_of(three))) /
                       std::max(served(host.outcomes_of(one)), 1u);
  EXPECT_GT(ratio, 2.0);
  EXPECT_LT(ratio, 4.5);
}

TEST(PoolFairness, TakingTurnsCostsFewStarts) {
  // Room for one sandbox and two tenants that flood it.
  SimulatedHost host(limits_of(128), {}, 3);
  std::vector<FunctionId> functions;
  for (const char* tenant : {"a", "b"}) {
    Function function = function_of(tenant, "f");
    function.reuse = Reuse::kProcess;
    functions.push_back(host.deploy(function, milliseconds(5)));
  }
  for (int ms = 0; ms < 20'000; ms += 5) {
    for (FunctionId function : functions) host.call_at(Time{} + milliseconds(ms), function);
  }
  host.run_until(Time{} + seconds(20));
  for (FunctionId function : functions) {
    EXPECT_GT(served(host.outcomes_of(function)), 20 * host.started(function));
    EXPECT_GT(served(host.outcomes_of(function)), 1000u) << "of 4,000 that one could do alone";
    EXPECT_GT(host.started(function), 5u) << "and both had turns";
  }
}

TEST(PoolFairness, IdlingSavesNothingUp) {
  SimulatedHost host(limits_of(128), {}, 3);
  const FunctionId busy = host.deploy(function_of("busy", "f"), milliseconds(50));
  const FunctionId late = host.deploy(function_of("late", "f"), milliseconds(50));
  for (int ms = 0; ms < 40'000; ms += 20) host.call_at(Time{} + milliseconds(ms), busy);
  for (int ms = 30'000; ms < 40'000; ms += 20) host.call_at(Time{} + milliseconds(ms), late);
  host.run_until(Time{} + seconds(30));
  const uint32_t before = served(host.outcomes_of(busy));
  host.run_until(Time{} + seconds(40));
  EXPECT_GT(served(host.outcomes_of(busy)) - before, 50u) << "of 190 that ten seconds hold";
  EXPECT_GT(served(host.outcomes_of(late)), 50u);
}

TEST(PoolFairness, ATenantThatWantsMoreThanItsShareDelaysNobody) {
  // The large function needs room that the long calls hold; the small one needs a corner.
  SimulatedHost host(limits_of(4096), {});
  const FunctionId busy = host.deploy(function_of("busy", "f", 1024 * kMiB), seconds(25));
  const FunctionId large = host.deploy(function_of("large", "f", 3072 * kMiB), milliseconds(10));
  const FunctionId small = host.deploy(function_of("small", "f"), milliseconds(10));
  host.call(busy);
  host.call(busy);
  host.run_for(seconds(1));
  const CallId blocked = host.call(large);
  host.run_for(seconds(1));
  const CallId passing = host.call(small);
  host.run_for(seconds(1));
  EXPECT_TRUE(host.outcome(passing).finished);
  EXPECT_FALSE(host.outcome(blocked).assigned);
  host.run_for(seconds(30));
  EXPECT_TRUE(host.outcome(blocked).finished);
}

TEST(PoolFairness, WhoIsBeyondItsShareDoesNotPass) {
  SimulatedHost host(limits_of(4096), {});
  const FunctionId heavy = host.deploy(function_of("heavy", "f", 1024 * kMiB), seconds(5));
  const FunctionId more = host.deploy(function_of("heavy", "g", 1024 * kMiB), seconds(5));
  const FunctionId large = host.deploy(function_of("large", "f", 3072 * kMiB), milliseconds(10));
  host.call(heavy);
  host.call(heavy);
  host.run_for(seconds(1));
  const CallId first = host.call(large);
  host.run_for(milliseconds(10));
  const CallId second = host.call(more);
  host.run_for(seconds(10));
  ASSERT_TRUE(host.outcome(first).finished);
  EXPECT_GT(host.outcome(second).assigned, host.outcome(first).assigned);
}

TEST(PoolFairness, ATenantWithinItsShareKeepsItsSandbox) {
  SimulatedHost host(limits_of(512), {});
  Function function = function_of("steady", "f");
  function.concurrency_max = 1;
  function.reuse = Reuse::kProcess;
  const FunctionId steady = host.deploy(function, milliseconds(10));
  const FunctionId all = host.deploy(function_of("greedy", "f", 512 * kMiB), milliseconds(10));
  for (int ms = 0; ms < 10'000; ms += 9) host.call_at(Time{} + milliseconds(ms), steady);
  host.run_for(seconds(2));
  const CallId call = host.call(all);
  host.run_for(seconds(5));
  EXPECT_FALSE(host.outcome(call).assigned);
  EXPECT_EQ(host.started(steady), 1u);
}

TEST(PoolFairness, YoungerCallsOfATenantPassUntilTheOldestIsImpatient) {
  SimulatedHost host(limits_of(4096), {});
  const FunctionId busy = host.deploy(function_of("t", "busy", 2048 * kMiB), seconds(10));
  const FunctionId large = host.deploy(function_of("t", "large", 3072 * kMiB), milliseconds(10));
  const FunctionId early = host.deploy(function_of("t", "early"), milliseconds(10));
  const FunctionId late = host.deploy(function_of("t", "late"), milliseconds(10));
  host.call(busy);
  host.run_for(seconds(1));
  const CallId oldest = host.call(large);
  host.run_for(milliseconds(50));
  const CallId passes = host.call(early);
  host.run_for(seconds(1));
  const CallId waits = host.call(late);
  host.run_for(seconds(2));
  EXPECT_TRUE(host.outcome(passes).finished);
  EXPECT_FALSE(host.outcome(waits).assigned);
  host.run_for(seconds(10));
  EXPECT_LE(host.outcome(oldest).assigned, host.outcome(waits).assigned);
}

TEST(PoolFairness, ANewSandboxServesOnceBeforeItYields) {
  // Room for two: one is held; the other was started for a call that an older one now follows.
  CheckedPool pool(limits_of(256));
  const FunctionId held{1}, younger{2}, older{3};
  const auto at = [](int64_t ms) { return Time{} + milliseconds(ms); };
  pool.add_function(held, function_of("t", "held"), at(0));
  pool.add_function(younger, function_of("t", "younger"), at(0));
  pool.add_function(older, function_of("t", "older"), at(0));
  const Actions first = pool.call_arrived(CallId{1}, held, at(0));
  pool.sandbox_ready(std::get<Create>(first.at(0)).sandbox, at(0));
  const Actions second = pool.call_arrived(CallId{2}, younger, at(0));
  const SandboxId fresh = std::get<Create>(second.at(0)).sandbox;
  pool.call_cancelled(CallId{2}, at(1));
  pool.call_arrived(CallId{3}, older, at(2));
  pool.call_arrived(CallId{4}, younger, at(3));
  const Actions ready = pool.sandbox_ready(fresh, at(400));
  ASSERT_EQ(ready.size(), 1u);
  EXPECT_EQ(std::get<Assign>(ready[0]).call, CallId{4});
  const Actions finished = pool.call_finished(CallId{4}, Finish::kClean, at(500));
  ASSERT_EQ(finished.size(), 1u);
  EXPECT_EQ(std::get<Destroy>(finished[0]).sandbox, fresh);
}

TEST(PoolFairness, AFullWaitingRoomRefusesWhoFilledIt) {
  Limits limits = limits_of(128);
  limits.waiting_max = 100;
  SimulatedHost host(limits, {});
  const FunctionId heavy = host.deploy(function_of("heavy", "f"), seconds(1));
  const FunctionId light = host.deploy(function_of("light", "f"), milliseconds(10));
  for (int i = 0; i < 150; ++i) host.call(heavy);
  const CallId call = host.call(light);
  EXPECT_FALSE(host.outcome(call).refused);
  const auto outcomes = host.outcomes_of(heavy);
  const auto refused = std::count_if(outcomes.begin(), outcomes.end(),
                                     [](const auto& each) { return each.refused.has_value(); });
  EXPECT_EQ(refused, 51);
  host.run_for(seconds(20));
  EXPECT_TRUE(host.outcome(call).finished);
}

}  // namespace
}  // namespace hearth::pool
