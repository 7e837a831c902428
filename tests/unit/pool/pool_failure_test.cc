// SPDX-License-Identifier: Apache-2.0
// Starts that fail: who is told, and when the next one is made.
#include <gtest/gtest.h>

#include "tests/unit/pool/checked_pool.h"

namespace hearth::pool {
namespace {

using std::chrono::milliseconds;

constexpr uint64_t kMiB = 1 << 20;
constexpr FunctionId kEcho{1};
constexpr CallId kFirst{1}, kSecond{2};

class PoolFailureTest : public testing::Test {
 protected:
  static Limits roomy() {
    Limits limits;
    limits.memory_bytes_max = 1024 * kMiB;
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

  CheckedPool pool{roomy()};
};

TEST_F(PoolFailureTest, ReplacesALostWarmSandboxButNotWithoutEnd) {
  Function function = echo(Reuse::kProcess);
  function.warm_min = 1;
  Actions actions = pool.add_function(kEcho, function, at(0));
  uint32_t starts = 0;
  // Whatever starts dies 1 ms after it was ready, before any call.
  for (int64_t ms = 0; ms < 60'000; ms += 10) {
    for (const Action& action : std::exchange(actions, {})) {
      const SandboxId sandbox = std::get<Create>(action).sandbox;
      ++starts;
      pool.sandbox_ready(sandbox, at(ms));
      pool.sandbox_gone(sandbox, at(ms + 1));
    }
    actions = pool.tick(at(ms + 2));
  }
  EXPECT_GE(starts, 8u);
  EXPECT_LE(starts, 14u) << "100 ms, 200 ms, ... 10 s";
}

TEST_F(PoolFailureTest, ACodeThatDoesNotLoadRefusesWhoWaitsAndBacksOff) {
  pool.add_function(kEcho, echo(Reuse::kSandbox), at(0));
  uint32_t starts = 0;
  uint64_t call = 0;
  for (int64_t ms = 0; ms < 30'000; ms += 20) {  // a call every 20 ms for 30 s
    for (const Action& action : pool.call_arrived(CallId{++call}, kEcho, at(ms))) {
      if (const Create* create = std::get_if<Create>(&action)) {
        ++starts;
        const Actions failed = pool.start_failed(create->sandbox, at(ms + 5));
        ASSERT_EQ(failed.size(), 2u);
        pool.sandbox_gone(create->sandbox, at(ms + 10));
      } else {
        EXPECT_EQ(std::get<Refuse>(action).why, Refusal::kStartFailed);
        EXPECT_GT(std::get<Refuse>(action).retry_after, Duration::zero());
      }
    }
  }
  EXPECT_EQ(pool.counts().waiting, 0u);
  EXPECT_GE(starts, 7u);
  EXPECT_LE(starts, 10u) << "100 ms, 200 ms, ... 10 s";
}

TEST_F(PoolFailureTest, AFunctionThatLoadsAgainServesAgain) {
  pool.add_function(kEcho, echo(Reuse::kSandbox), at(0));
  const Actions first = pool.call_arrived(kFirst, kEcho, at(0));
  const SandboxId broken = std::get<Create>(first.at(0)).sandbox;
  pool.start_failed(broken, at(10));
  pool.sandbox_gone(broken, at(20));
  const Actions second = pool.call_arrived(kSecond, kEcho, at(200));
  const SandboxId healed = std::get<Create>(second.at(0)).sandbox;
  EXPECT_EQ(std::get<Assign>(pool.sandbox_ready(healed, at(300)).at(0)).call, kSecond);
}

TEST_F(PoolFailureTest, AFailedStartLeavesTheCallsThatOtherSandboxesServe) {
  pool.add_function(kEcho, echo(Reuse::kSandbox), at(0));
  const Actions first = pool.call_arrived(kFirst, kEcho, at(0));
  pool.sandbox_ready(std::get<Create>(first.at(0)).sandbox, at(100));
  const Actions second = pool.call_arrived(kSecond, kEcho, at(150));
  const SandboxId broken = std::get<Create>(second.at(0)).sandbox;
  const Actions failed = pool.start_failed(broken, at(160));
  ASSERT_EQ(failed.size(), 1u);
  EXPECT_EQ(std::get<Destroy>(failed[0]).sandbox, broken);
  EXPECT_EQ(pool.counts().waiting, 1u);
}

TEST_F(PoolFailureTest, AfterAFailureOneStartIsTriedAtATime) {
  pool.add_function(kEcho, echo(Reuse::kSandbox), at(0));
  std::vector<SandboxId> starts;
  for (uint64_t call = 1; call <= 4; ++call) {
    const Actions arrived = pool.call_arrived(CallId{call}, kEcho, at(0));
    starts.push_back(std::get<Create>(arrived.at(0)).sandbox);
  }
  for (SandboxId sandbox : starts) EXPECT_TRUE(pool.sandbox_gone(sandbox, at(50)).empty());
  EXPECT_EQ(pool.due(), at(150));
  EXPECT_TRUE(pool.tick(at(149)).empty());
  const Actions again = pool.tick(at(150));
  ASSERT_EQ(again.size(), 1u);
  // Once it is ready, the others get theirs.
  const Actions ready = pool.sandbox_ready(std::get<Create>(again[0]).sandbox, at(250));
  EXPECT_EQ(ready.size(), 4u) << "one call assigned, three starts";
}

TEST_F(PoolFailureTest, ThreeStartsLostInARowRefuseWhoWaits) {
  pool.add_function(kEcho, echo(Reuse::kSandbox), at(0));
  Actions actions = pool.call_arrived(kFirst, kEcho, at(0));
  for (int64_t ms : {0, 1000}) {
    EXPECT_TRUE(pool.sandbox_gone(std::get<Create>(actions.at(0)).sandbox, at(ms)).empty());
    actions = pool.tick(at(ms + 999));
  }
  actions = pool.sandbox_gone(std::get<Create>(actions.at(0)).sandbox, at(2000));
  ASSERT_EQ(actions.size(), 1u);
  EXPECT_EQ(std::get<Refuse>(actions[0]).why, Refusal::kStartFailed);
  EXPECT_EQ(std::get<Refuse>(actions[0]).retry_after, milliseconds(400));
}

}  // namespace
}  // namespace hearth::pool
