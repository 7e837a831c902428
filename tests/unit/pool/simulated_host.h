// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <queue>
#include <random>
#include <string>
#include <vector>

#include "tests/unit/pool/checked_pool.h"

namespace hearth::pool {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

// Carries out the pool's actions in simulated time: sandboxes take time to start, recycle and go;
// calls take time to run. Ticks come as pool.h asks. All is decided by the seed.
class SimulatedHost {
 public:
  struct Costs {
    Duration create = milliseconds(100);
    Duration specialise = milliseconds(30);
    Duration recycle = milliseconds(2);
    Duration destroy = milliseconds(10);
    Duration tick = milliseconds(100);
    double jitter = 0;       // of each duration, up to this part
    double lost_starts = 0;  // part of the starts that end in sandbox_gone
    double crashes = 0;      // part of the calls whose sandbox dies
  };
  struct Outcome {
    FunctionId function{};
    Time arrived{};
    std::optional<Time> assigned;
    std::optional<Time> finished;
    std::optional<Start> start;
    std::optional<Refuse> refused;
    bool cancelled = false;
  };

  SimulatedHost(Limits limits, Costs costs, uint64_t seed = 1);

  FunctionId deploy(Function function, Duration run);
  void breaks(FunctionId function) { broken_[function] = true; }  // its code does not load
  void heals(FunctionId function) { broken_[function] = false; }
  void set_run(FunctionId function, Duration run) { runs_[function] = run; }
  void retire(FunctionId function);
  void call_at(Time time, FunctionId function);
  CallId call(FunctionId function);  // now
  void cancel(CallId call);
  void kill(SandboxId sandbox);  // it crashes
  void drain();
  void at(Time time, std::function<void()> what);

  void run_until(Time time);
  void run_for(Duration time) { run_until(now_ + time); }

  Time now() const { return now_; }
  CheckedPool& pool() { return pool_; }
  const std::map<CallId, Outcome>& outcomes() const { return outcomes_; }
  const Outcome& outcome(CallId call) const { return outcomes_.at(call); }
  std::vector<Outcome> outcomes_of(FunctionId function) const;
  uint32_t started(FunctionId function) const;  // sandboxes, ever
  uint32_t created() const { return created_; }
  uint32_t sandboxes_most(FunctionId function) const;

 private:
  struct Event {
    Time time;
    uint64_t number;
    std::function<void()> what;
    bool operator>(const Event& other) const {
      return std::pair(time, number) > std::pair(other.time, other.number);
    }
  };

  void carry_out(const Actions& actions);
  void carry_out(const Assign& action);
  void carry_out(const Create& action);
  void carry_out(const Specialise& action);
  void carry_out(const Recycle& action);
  void carry_out(const Destroy& action);
  void carry_out(const Refuse& action);
  void start(SandboxId sandbox, std::optional<FunctionId> function, Duration cost);
  void tick();
  Duration jittered(Duration duration);
  bool chance(double part) { return std::uniform_real_distribution<>(0, 1)(random_) < part; }

  Costs costs_;
  CheckedPool pool_;
  std::mt19937_64 random_;
  Time now_{};
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  uint64_t last_event_ = 0, last_call_ = 0;
  uint32_t last_function_ = 0, created_ = 0;
  std::map<CallId, Outcome> outcomes_;
  std::map<FunctionId, Duration> runs_;
  std::map<FunctionId, bool> broken_;
  std::map<FunctionId, uint32_t> started_, most_;
};

Function function_of(const std::string& tenant, const std::string& name,
                     uint64_t memory_bytes = 128 << 20);

}  // namespace hearth::pool
