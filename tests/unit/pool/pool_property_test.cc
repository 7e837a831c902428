// SPDX-License-Identifier: Apache-2.0
// Random hosts, random events: whatever happens, the promises that CheckedPool knows hold.
#include <gtest/gtest.h>

#include "tests/unit/pool/byte_events.h"
#include "tests/unit/pool/simulated_host.h"

namespace hearth::pool {
namespace {

constexpr uint64_t kMiB = 1 << 20;

TEST(PoolProperty, RandomEventsInAnyOrderBreakNoPromise) {
  for (uint64_t seed = 0; seed < 3000; ++seed) {
    std::mt19937_64 random(seed);
    std::vector<uint8_t> bytes(200 + seed % 800);
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
    ASSERT_NO_THROW(run_byte_events(bytes.data(), bytes.size())) << "seed " << seed;
  }
}

// A host that behaves, except that some starts are lost and some calls crash.
class RandomHost : public testing::TestWithParam<uint64_t> {};

TEST_P(RandomHost, AnswersEveryCallAndEndsEmpty) {
  std::mt19937_64 random(GetParam());
  const auto below = [&random](uint64_t bound) { return random() % bound; };
  Limits limits;
  limits.memory_bytes_max = (256 + below(2048)) * kMiB;
  limits.generic_memory_bytes = 32 * kMiB;
  limits.sandboxes_max = static_cast<uint32_t>(2 + below(20));
  limits.waiting_per_function_max = 50;
  limits.waiting_max = 200;
  limits.wait_max = seconds(5);
  SimulatedHost host(limits, {.jitter = 0.5, .lost_starts = 0.05, .crashes = 0.05}, GetParam());
  std::vector<FunctionId> functions;
  for (int i = 0; i < 12; ++i) {
    Function function = function_of("t" + std::to_string(i % 4), "f" + std::to_string(i % 6),
                                    (32 + below(256)) * kMiB);
    function.reuse = static_cast<Reuse>(below(3));
    function.concurrency_max = static_cast<uint32_t>(1 + below(6));
    function.warm_min = static_cast<uint32_t>(below(2));
    if (below(2)) function.generic_key = function.tenant + "/python3";
    functions.push_back(host.deploy(function, milliseconds(1 + below(300))));
  }
  std::vector<CallId> calls;
  for (int i = 0; i < 2000; ++i) {
    calls.push_back(host.call(functions[below(functions.size())]));
    if (below(20) == 0) host.cancel(calls[below(calls.size())]);
    if (below(500) == 0) host.retire(functions[below(functions.size())]);
    if (below(3) == 0) host.run_for(milliseconds(below(40)));
  }
  host.run_for(seconds(40));
  for (const auto& [id, outcome] : host.outcomes()) {
    const int ends = outcome.finished.has_value() + outcome.refused.has_value() + outcome.cancelled;
    ASSERT_EQ(ends, 1) << "call " << static_cast<uint64_t>(id);
  }
  host.drain();
  host.run_for(seconds(2));
  EXPECT_TRUE(host.pool().drained());
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomHost, testing::Range<uint64_t>(1, 41));

}  // namespace
}  // namespace hearth::pool
