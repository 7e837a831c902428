// SPDX-License-Identifier: Apache-2.0
// One call, one sandbox, one function at a time: what each event answers.
#include "pool/pool.h"

#include <gtest/gtest.h>

#include "tests/unit/pool/checked_pool.h"

namespace hearth::pool {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr uint64_t kMiB = 1 << 20;
constexpr FunctionId kEcho{1};
constexpr CallId kFirst{1}, kSecond{2}, kThird{3};

template <typename T>
const T* only(const Actions& actions) {
  return actions.size() == 1 ? std::get_if<T>(&actions[0]) : nullptr;
}

class PoolTest : public testing::Test {
 protected:
  static Limits roomy() {
    Limits limits;
    limits.memory_bytes_max = 1024 * kMiB;
    limits.generic_memory_bytes = 32 * kMiB;
    return limits;
  }

  static Function echo(Reuse reuse) {
    Function function;
    function.tenant = "t";
    function.name = "echo";
    function.memory_bytes = 128 * kMiB;
    function.reuse = reuse;
    return function;
  }

  Time at(int64_t ms) const { return Time{} + milliseconds(ms); }

  // Has echo called once; returns the sandbox, which now runs kFirst.
  SandboxId running(Reuse reuse) {
    pool.add_function(kEcho, echo(reuse), at(0));
    const Actions actions = pool.call_arrived(kFirst, kEcho, at(0));
    const SandboxId sandbox = std::get<Create>(actions.at(0)).sandbox;
    EXPECT_TRUE(only<Assign>(pool.sandbox_ready(sandbox, at(100))));
    return sandbox;
  }

  CheckedPool pool{roomy()};
};

TEST_F(PoolTest, StartsASandboxForTheFirstCallAndSaysItWasCold) {
  pool.add_function(kEcho, echo(Reuse::kSandbox), at(0));
  const Actions arrived = pool.call_arrived(kFirst, kEcho, at(0));
  const Create* create = only<Create>(arrived);
  ASSERT_TRUE(create);
  EXPECT_EQ(create->function, kEcho);
  const Actions ready = pool.sandbox_ready(create->sandbox, at(100));
  const Assign* assign = only<Assign>(ready);
  ASSERT_TRUE(assign);
  EXPECT_EQ(assign->call, kFirst);
  EXPECT_EQ(assign->sandbox, create->sandbox);
  EXPECT_EQ(assign->start, Start::kCold);
}

TEST_F(PoolTest, RecyclesAfterACleanCallAndServesTheNextOneWarm) {
  const SandboxId sandbox = running(Reuse::kSandbox);
  const Actions finished = pool.call_finished(kFirst, Finish::kClean, at(110));
  ASSERT_TRUE(only<Recycle>(finished));
  EXPECT_TRUE(pool.sandbox_ready(sandbox, at(112)).empty());
  const Actions arrived = pool.call_arrived(kSecond, kEcho, at(120));
  const Assign* assign = only<Assign>(arrived);
  ASSERT_TRUE(assign);
  EXPECT_EQ(assign->sandbox, sandbox);
  EXPECT_EQ(assign->start, Start::kWarm);
}

TEST_F(PoolTest, HandsAProcessItsNextWaitingCallInTheSameAnswer) {
  const SandboxId sandbox = running(Reuse::kProcess);
  pool.call_finished(kFirst, Finish::kClean, at(101));  // it is known now that a call takes 1 ms
  pool.call_arrived(kSecond, kEcho, at(200));
  EXPECT_TRUE(pool.call_arrived(kThird, kEcho, at(200)).empty());
  const Actions finished = pool.call_finished(kSecond, Finish::kClean, at(201));
  const Assign* assign = only<Assign>(finished);
  ASSERT_TRUE(assign);
  EXPECT_EQ(assign->call, kThird);
  EXPECT_EQ(assign->sandbox, sandbox);
}

TEST_F(PoolTest, DestroysTheSandboxOfACallThatEndedInDoubt) {
  for (Reuse reuse : {Reuse::kSandbox, Reuse::kProcess}) {
    CheckedPool fresh(roomy());
    fresh.add_function(kEcho, echo(reuse), at(0));
    const Actions arrived = fresh.call_arrived(kFirst, kEcho, at(0));
    fresh.sandbox_ready(std::get<Create>(arrived.at(0)).sandbox, at(100));
    EXPECT_TRUE(only<Destroy>(fresh.call_finished(kFirst, Finish::kDoubt, at(110))));
  }
}

TEST_F(PoolTest, ReuseNeverStartsAReplacementWhenTheSandboxIsTaken) {
  pool.add_function(kEcho, echo(Reuse::kNever), at(0));
  const Actions arrived = pool.call_arrived(kFirst, kEcho, at(0));
  const SandboxId first = std::get<Create>(arrived.at(0)).sandbox;
  const Actions ready = pool.sandbox_ready(first, at(100));
  ASSERT_EQ(ready.size(), 2u);
  EXPECT_TRUE(std::holds_alternative<Assign>(ready[0]));
  const SandboxId second = std::get<Create>(ready[1]).sandbox;
  EXPECT_TRUE(only<Destroy>(pool.call_finished(kFirst, Finish::kClean, at(110))));
  pool.sandbox_gone(first, at(120));
  pool.sandbox_ready(second, at(200));
  const Actions next = pool.call_arrived(kSecond, kEcho, at(300));
  EXPECT_EQ(std::get<Assign>(next.at(0)).start, Start::kWarm);
  EXPECT_EQ(std::get<Assign>(next.at(0)).sandbox, second);
}

TEST_F(PoolTest, PrefersTheSandboxUsedLast) {
  pool.add_function(kEcho, echo(Reuse::kProcess), at(0));
  const SandboxId a = std::get<Create>(pool.call_arrived(kFirst, kEcho, at(0)).at(0)).sandbox;
  const SandboxId b = std::get<Create>(pool.call_arrived(kSecond, kEcho, at(0)).at(0)).sandbox;
  pool.sandbox_ready(a, at(100));
  pool.sandbox_ready(b, at(100));
  pool.call_finished(kSecond, Finish::kClean, at(150));
  pool.call_finished(kFirst, Finish::kClean, at(160));  // a is the last one used
  const Actions next = pool.call_arrived(kThird, kEcho, at(200));
  EXPECT_EQ(std::get<Assign>(next.at(0)).sandbox, a);
}

TEST_F(PoolTest, SpecialisesAGenericSandboxAndSaysSo) {
  Function function = echo(Reuse::kSandbox);
  function.generic_key = "t/python3/python3";
  const Actions added = pool.add_function(kEcho, function, at(0));
  const Create* generic = only<Create>(added);
  ASSERT_TRUE(generic);
  EXPECT_FALSE(generic->function);
  EXPECT_EQ(generic->generic_key, "t/python3/python3");
  const SandboxId sandbox = generic->sandbox;
  pool.sandbox_ready(sandbox, at(100));
  EXPECT_EQ(pool.counts().generic, 1u);
  EXPECT_EQ(pool.counts().memory_bytes, 32 * kMiB);
  const Actions arrived = pool.call_arrived(kFirst, kEcho, at(200));
  ASSERT_EQ(arrived.size(), 2u);
  EXPECT_EQ(std::get<Specialise>(arrived[0]).sandbox, sandbox);
  EXPECT_FALSE(std::get<Create>(arrived[1]).function) << "the used one is replaced";
  EXPECT_EQ(pool.counts().memory_bytes, 160 * kMiB);
  const Actions ready = pool.sandbox_ready(sandbox, at(230));
  EXPECT_EQ(std::get<Assign>(ready.at(0)).start, Start::kGeneric);
}

TEST_F(PoolTest, AGenericSandboxOfAnotherKeyIsNotUsed) {
  Function function = echo(Reuse::kSandbox);
  function.generic_key = "t/python3/python3";
  const SandboxId generic =
      std::get<Create>(pool.add_function(kEcho, function, at(0)).at(0)).sandbox;
  pool.sandbox_ready(generic, at(100));
  Function other = echo(Reuse::kSandbox);
  other.name = "other";
  other.generic_key = "";
  pool.add_function(FunctionId{2}, other, at(100));
  const Actions arrived = pool.call_arrived(kFirst, FunctionId{2}, at(200));
  ASSERT_TRUE(only<Create>(arrived));
  EXPECT_EQ(only<Create>(arrived)->function, FunctionId{2});
}

TEST_F(PoolTest, KeepsWarmMinSandboxesAndCallsThemWarm) {
  Function function = echo(Reuse::kProcess);
  function.warm_min = 2;
  const Actions added = pool.add_function(kEcho, function, at(0));
  ASSERT_EQ(added.size(), 2u);
  for (const Action& action : added) pool.sandbox_ready(std::get<Create>(action).sandbox, at(100));
  const Actions arrived = pool.call_arrived(kFirst, kEcho, at(200));
  EXPECT_EQ(std::get<Assign>(arrived.at(0)).start, Start::kWarm);
  pool.call_finished(kFirst, Finish::kClean, at(210));
  for (int64_t second = 1; second < 7200; ++second) pool.tick(at(second * 1000));
  EXPECT_EQ(pool.counts(kEcho).ready, 2u) << "they do not expire";
}

TEST_F(PoolTest, ACancelledCallLeavesTheQueue) {
  const SandboxId sandbox = running(Reuse::kSandbox);
  pool.call_arrived(kSecond, kEcho, at(100));
  pool.call_cancelled(kSecond, at(110));
  EXPECT_EQ(pool.counts().waiting, 0u);
  pool.call_finished(kFirst, Finish::kClean, at(120));
  EXPECT_TRUE(pool.sandbox_ready(sandbox, at(122)).empty());
}

TEST_F(PoolTest, ACancelledCallTakesItsSandboxWithIt) {
  const SandboxId sandbox = running(Reuse::kSandbox);
  const Actions cancelled = pool.call_cancelled(kFirst, at(110));
  ASSERT_TRUE(only<Destroy>(cancelled));
  EXPECT_EQ(only<Destroy>(cancelled)->sandbox, sandbox);
  EXPECT_TRUE(pool.call_finished(kFirst, Finish::kClean, at(111)).empty());
  EXPECT_EQ(pool.counts().memory_bytes, 128 * kMiB) << "it counts until it is gone";
  pool.sandbox_gone(sandbox, at(120));
  EXPECT_EQ(pool.counts().memory_bytes, 0u);
}

TEST_F(PoolTest, ALostSandboxAndItsCallMayBeToldInEitherOrder) {
  for (bool gone_first : {true, false}) {
    CheckedPool fresh(roomy());
    fresh.add_function(kEcho, echo(Reuse::kSandbox), at(0));
    const SandboxId sandbox =
        std::get<Create>(fresh.call_arrived(kFirst, kEcho, at(0)).at(0)).sandbox;
    fresh.sandbox_ready(sandbox, at(100));
    if (gone_first) fresh.sandbox_gone(sandbox, at(110));
    fresh.call_finished(kFirst, Finish::kDoubt, at(110));
    if (!gone_first) fresh.sandbox_gone(sandbox, at(110));
    EXPECT_TRUE(fresh.drained());
    // Told once more, nothing is given back twice.
    EXPECT_TRUE(fresh.sandbox_gone(sandbox, at(111)).empty());
    EXPECT_TRUE(fresh.call_finished(kFirst, Finish::kDoubt, at(111)).empty());
    EXPECT_TRUE(fresh.sandbox_ready(sandbox, at(111)).empty());
    EXPECT_EQ(fresh.counts().memory_bytes, 0u);
  }
}

TEST_F(PoolTest, ReadinessToldAfterDestroyChangesNothing) {
  const SandboxId sandbox = running(Reuse::kSandbox);
  pool.call_finished(kFirst, Finish::kClean, at(110));  // recycling
  pool.drain(at(111));
  EXPECT_TRUE(pool.sandbox_ready(sandbox, at(112)).empty());
  EXPECT_EQ(pool.counts().stopping, 1u);
  pool.sandbox_gone(sandbox, at(120));
  EXPECT_TRUE(pool.drained());
}

TEST_F(PoolTest, RefusesCallsOfUnknownAndRetiredFunctions) {
  const Actions unknown = pool.call_arrived(kFirst, kEcho, at(0));
  EXPECT_EQ(std::get<Refuse>(unknown.at(0)).why, Refusal::kFunctionGone);
  pool.add_function(kEcho, echo(Reuse::kSandbox), at(0));
  pool.retire_function(kEcho, at(1));
  const Actions retired = pool.call_arrived(kSecond, kEcho, at(2));
  EXPECT_EQ(std::get<Refuse>(retired.at(0)).why, Refusal::kFunctionGone);
}

TEST_F(PoolTest, RetiringRefusesWaitingCallsAndLetsRunningOnesFinish) {
  const SandboxId sandbox = running(Reuse::kProcess);
  pool.call_arrived(kSecond, kEcho, at(100));
  const Actions retired = pool.retire_function(kEcho, at(110));
  const bool refused = std::any_of(retired.begin(), retired.end(), [](const Action& action) {
    const Refuse* refuse = std::get_if<Refuse>(&action);
    return refuse && refuse->call == kSecond && refuse->why == Refusal::kFunctionGone;
  });
  EXPECT_TRUE(refused);
  EXPECT_EQ(pool.counts().running, 1u);
  const Actions finished = pool.call_finished(kFirst, Finish::kClean, at(120));
  ASSERT_TRUE(only<Destroy>(finished));
  EXPECT_EQ(only<Destroy>(finished)->sandbox, sandbox);
}

TEST_F(PoolTest, RefusesAtOnceWhatNeverFits) {
  Function function = echo(Reuse::kSandbox);
  function.memory_bytes = 2048 * kMiB;
  pool.add_function(kEcho, function, at(0));
  const Actions arrived = pool.call_arrived(kFirst, kEcho, at(0));
  const Refuse* refuse = only<Refuse>(arrived);
  ASSERT_TRUE(refuse);
  EXPECT_EQ(refuse->why, Refusal::kNoMemory);
  EXPECT_EQ(refuse->limit, 1024 * kMiB);
}

TEST_F(PoolTest, RefusesCallsBeyondTheFunctionsWaitingLimit) {
  Function function = echo(Reuse::kSandbox);
  function.concurrency_max = 1;
  pool.add_function(kEcho, function, at(0));
  for (uint64_t call = 1; call <= roomy().waiting_per_function_max; ++call) {
    pool.call_arrived(CallId{call}, kEcho, at(0));
  }
  const Actions arrived = pool.call_arrived(CallId{1000}, kEcho, at(0));
  const Refuse* refuse = only<Refuse>(arrived);
  ASSERT_TRUE(refuse);
  EXPECT_EQ(refuse->why, Refusal::kQueueFull);
  EXPECT_EQ(refuse->limit, 256u);
  EXPECT_GT(refuse->retry_after, Duration::zero());
}

TEST_F(PoolTest, RefusesACallThatWaitedTooLong) {
  Function one = echo(Reuse::kSandbox);
  one.concurrency_max = 1;
  pool.add_function(kEcho, one, at(0));
  pool.call_arrived(kSecond, kEcho, at(1000));
  pool.call_arrived(kThird, kEcho, at(2000));
  EXPECT_LE(pool.due(), at(31'000));
  EXPECT_TRUE(pool.tick(at(30'999)).empty());
  const Actions ticked = pool.tick(at(31'000));
  const Refuse* refuse = only<Refuse>(ticked);
  ASSERT_TRUE(refuse);
  EXPECT_EQ(refuse->call, kSecond);
  EXPECT_EQ(refuse->why, Refusal::kWaitedTooLong);
  EXPECT_EQ(refuse->limit, 30'000u) << "milliseconds";
  EXPECT_EQ(pool.counts().waiting, 1u);
}

TEST_F(PoolTest, DrainRefusesWhoWaitsAndEndsWhenTheLastCallDoes) {
  const SandboxId sandbox = running(Reuse::kProcess);
  pool.call_arrived(kSecond, kEcho, at(100));
  const Actions drained = pool.drain(at(110));
  EXPECT_EQ(std::get<Refuse>(drained.at(0)).why, Refusal::kDraining);
  const Actions late = pool.call_arrived(kThird, kEcho, at(111));
  EXPECT_EQ(std::get<Refuse>(late.at(0)).why, Refusal::kDraining);
  for (const Action& action : drained) {
    if (const Destroy* destroy = std::get_if<Destroy>(&action)) {
      pool.sandbox_gone(destroy->sandbox, at(120));
    }
  }
  EXPECT_FALSE(pool.drained());
  pool.call_finished(kFirst, Finish::kClean, at(130));
  EXPECT_FALSE(pool.drained()) << "its sandbox still lives";
  pool.sandbox_gone(sandbox, at(140));
  EXPECT_TRUE(pool.drained());
}

TEST_F(PoolTest, TheSameEventsGiveTheSameActions) {
  CheckedPool again(roomy());
  for (CheckedPool* each : {&pool, &again}) {
    each->add_function(kEcho, echo(Reuse::kSandbox), at(0));
    for (uint64_t call = 1; call < 20; ++call) each->call_arrived(CallId{call}, kEcho, at(0));
  }
  const Actions one = pool.drain(at(1)), two = again.drain(at(1));
  ASSERT_EQ(one.size(), two.size());
  for (size_t i = 0; i < one.size(); ++i) EXPECT_EQ(one[i].index(), two[i].index());
}

TEST_F(PoolTest, ARemovedTenantIsForgottenWithItsLastFunction) {
  pool.set_tenant("t", {.concurrency_max = 0});
  pool.add_function(kEcho, echo(Reuse::kSandbox), at(0));
  pool.remove_tenant("t");
  EXPECT_TRUE(pool.call_arrived(kFirst, kEcho, at(0)).empty()) << "its limit still holds";
  pool.retire_function(kEcho, at(1));
  // A tenant of the same name starts with default limits.
  pool.add_function(FunctionId{2}, echo(Reuse::kSandbox), at(2));
  EXPECT_EQ(pool.call_arrived(kSecond, FunctionId{2}, at(2)).size(), 1u);
}

}  // namespace
}  // namespace hearth::pool
