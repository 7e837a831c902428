// SPDX-License-Identifier: Apache-2.0
// Ten thousand functions: the work per event does not grow with what exists. Counted in
// allocations, which no busy machine disturbs.
#include <gtest/gtest.h>

#include <cstdlib>
#include <deque>
#include <new>
#include <random>

#include "pool/pool.h"

namespace {
uint64_t allocations = 0;
}

__attribute__((noinline)) void* operator new(size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
__attribute__((noinline)) void operator delete(void* memory) noexcept {
  std::free(memory);
}
__attribute__((noinline)) void operator delete(void* memory, size_t) noexcept {
  std::free(memory);
}

namespace hearth::pool {
namespace {

using std::chrono::milliseconds;

constexpr uint64_t kMiB = 1 << 20;

// A host that answers at once; each call runs until 500 others have been assigned.
class BusyHost {
 public:
  explicit BusyHost(uint32_t functions, uint64_t memory_mib) : functions_(functions) {
    Limits limits;
    limits.memory_bytes_max = memory_mib * kMiB;
    limits.sandboxes_max = 1'000'000;
    limits.generic_memory_bytes = 32 * kMiB;
    pool_.emplace(limits);
    for (uint32_t i = 1; i <= functions; ++i) {
      Function function;
      function.tenant = "t" + std::to_string(i % 1000);
      function.name = "f" + std::to_string(i);
      function.memory_bytes = 64 * kMiB;
      function.reuse = static_cast<Reuse>(i % 3);
      if (i % 2) function.generic_key = function.tenant + "/python3";
      carry_out(pool_->add_function(FunctionId{i}, function, now_));
    }
  }

  void run(uint64_t events) {
    const uint64_t until = events_ + events;
    while (events_ < until) {
      now_ += Duration(200);
      // A few functions get most calls.
      const auto popular = static_cast<uint32_t>(random_() % functions_);
      const uint32_t function = 1 + (random_() % 4 ? popular % (functions_ / 10) : popular);
      ++events_;
      carry_out(pool_->call_arrived(CallId{++last_call_}, FunctionId{function}, now_));
      if (last_call_ % 500 == 0) carry_out(pool_->tick(now_));
      while (running_.size() > 100) {
        ++events_;
        const CallId call = running_.front();
        running_.pop_front();
        carry_out(pool_->call_finished(call, Finish::kClean, now_));
      }
    }
  }

  uint64_t assigned() const { return assigned_; }
  uint64_t events() const { return events_; }

 private:
  void carry_out(const Actions& first) {
    std::deque<Actions> todo{first};
    while (!todo.empty()) {
      const Actions actions = std::move(todo.front());
      todo.pop_front();
      for (const Action& action : actions) {
        events_ += !std::holds_alternative<Assign>(action);
        if (const auto* assign = std::get_if<Assign>(&action)) {
          ++assigned_;
          running_.push_back(assign->call);
        } else if (const auto* create = std::get_if<Create>(&action)) {
          todo.push_back(pool_->sandbox_ready(create->sandbox, now_));
        } else if (const auto* specialise = std::get_if<Specialise>(&action)) {
          todo.push_back(pool_->sandbox_ready(specialise->sandbox, now_));
        } else if (const auto* recycle = std::get_if<Recycle>(&action)) {
          todo.push_back(pool_->sandbox_ready(recycle->sandbox, now_));
        } else if (const auto* destroy = std::get_if<Destroy>(&action)) {
          todo.push_back(pool_->sandbox_gone(destroy->sandbox, now_));
        }
      }
    }
  }

  uint32_t functions_;
  std::optional<Pool> pool_;
  std::mt19937_64 random_{42};
  Time now_{};
  std::deque<CallId> running_;
  uint64_t last_call_ = 0, assigned_ = 0, events_ = 0;
};

double allocations_per_event(uint32_t functions, uint64_t memory_mib, uint64_t events) {
  BusyHost host(functions, memory_mib);
  const uint64_t events_before = host.events();
  const uint64_t before = allocations;
  host.run(events);
  EXPECT_GT(host.assigned(), events / 20);
  return static_cast<double>(allocations - before) /
         static_cast<double>(host.events() - events_before);
}

TEST(PoolScale, AMillionEventsOverTenThousandFunctions) {
  const double per_event = allocations_per_event(10'000, 1'000'000, 1'000'000);
  EXPECT_LT(per_event, 30);
}

TEST(PoolScale, WorkPerEventDoesNotGrowWithTheNumberOfFunctions) {
  const double few = allocations_per_event(100, 1'000'000, 100'000);
  const double many = allocations_per_event(10'000, 1'000'000, 100'000);
  EXPECT_LT(many, few * 2 + 10);
}

TEST(PoolScale, MemoryPressureOverTenThousandFunctionsCostsNoScan) {
  const double per_event = allocations_per_event(10'000, 20'000, 200'000);
  EXPECT_LT(per_event, 60);
}

}  // namespace
}  // namespace hearth::pool
