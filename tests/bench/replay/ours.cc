// SPDX-License-Identifier: Apache-2.0
// hearthd's own policy: pool/ itself, its actions carried out in simulated time.
#include <queue>
#include <unordered_map>
#include <vector>

#include "pool/pool.h"
#include "tests/bench/replay/policy.h"

namespace hearth::replay {
namespace {

using pool::CallId;
using pool::FunctionId;
using pool::SandboxId;
using pool::Time;

constexpr Duration kTick = std::chrono::seconds(1);  // as hearthd ticks while no call waits

class Simulation {
 public:
  Simulation(const Trace& trace, const Host& host, const pool::Limits& limits)
      : trace_(trace), host_(host), pool_(limits) {}

  Result run() {
    pool_.set_tenant("t", {1u << 20, 1});
    for (uint32_t f = 0; f < trace_.memory_bytes.size(); ++f) {
      pool::Function function;
      function.tenant = "t";
      function.name = std::to_string(f);
      function.memory_bytes = trace_.memory_bytes[f];
      function.concurrency_max = 1u << 16;
      function.reuse = pool::Reuse::kProcess;  // no time is lost between two calls, as at the peers
      carry_out(pool_.add_function(FunctionId{f}, std::move(function), now_));
    }
    for (const Arrival& arrival : trace_.arrivals) {
      advance(Time(arrival.at));
      ++result_.calls;
      CallId id{result_.calls};
      calls_[result_.calls] = {now_, &arrival, {}};
      carry_out(pool_.call_arrived(id, FunctionId{arrival.function}, now_));
    }
    advance(Time(trace_.length));
    for (auto& [id, sandbox] : sandboxes_) leave_idle(sandbox);
    return result_;
  }

 private:
  enum class What { kReady, kGone, kCallEnds };
  struct Event {
    Time at;
    What what;
    uint64_t id;
    bool operator>(const Event& other) const { return at > other.at; }
  };
  struct Call {
    Time arrived;
    const Arrival* arrival;
    SandboxId sandbox;
  };
  struct Sandbox {
    uint32_t function = 0;
    std::optional<Time> idle_since;
  };

  void advance(Time until) {
    for (;;) {
      Time next = std::min(until, next_tick());
      if (!events_.empty() && events_.top().at <= next) {
        Event event = events_.top();
        events_.pop();
        now_ = std::max(now_, event.at);
        happen(event);
      } else if (next < until) {
        now_ = std::max(now_, next);
        last_tick_ = now_;
        carry_out(pool_.tick(now_));
      } else {
        now_ = until;
        return;
      }
    }
  }

  // When hearthd would tick next, less the ticks at which the pool has nothing to do.
  Time next_tick() const {
    std::optional<Time> due = pool_.due();
    if (!due) return Time::max();
    return std::max(*due, last_tick_ + kTick);
  }

  void happen(const Event& event) {
    if (event.what == What::kReady) {
      if (auto found = sandboxes_.find(event.id); found != sandboxes_.end())
        found->second.idle_since = now_;
      return carry_out(pool_.sandbox_ready(SandboxId{event.id}, now_));
    }
    if (event.what == What::kGone) return carry_out(pool_.sandbox_gone(SandboxId{event.id}, now_));
    auto call = calls_.extract(event.id);
    sandboxes_.at(uint64_t(call.mapped().sandbox)).idle_since = now_;
    carry_out(pool_.call_finished(CallId{event.id}, pool::Finish::kClean, now_));
  }

  void carry_out(const pool::Actions& actions) {
    for (const pool::Action& action : actions) {
      std::visit([this](const auto& each) { carry_out(each); }, action);
    }
  }

  void carry_out(const pool::Assign& action) {
    Call& call = calls_.at(uint64_t(action.call));
    call.sandbox = action.sandbox;
    leave_idle(sandboxes_.at(uint64_t(action.sandbox)));
    bool waited = now_ - call.arrived >= host_.start;
    if (action.start != pool::Start::kWarm || waited) ++result_.cold;
    events_.push({now_ + call.arrival->run, What::kCallEnds, uint64_t(action.call)});
  }

  void carry_out(const pool::Create& action) {
    ++result_.starts;
    sandboxes_[uint64_t(action.sandbox)].function = uint32_t(*action.function);
    events_.push({now_ + host_.start, What::kReady, uint64_t(action.sandbox)});
  }

  void carry_out(const pool::Destroy& action) {
    auto sandbox = sandboxes_.extract(uint64_t(action.sandbox));
    if (!sandbox.empty()) leave_idle(sandbox.mapped());
    events_.push({now_, What::kGone, uint64_t(action.sandbox)});
  }

  void carry_out(const pool::Refuse& action) {
    ++result_.refused;
    ++result_.cold;
    calls_.erase(uint64_t(action.call));
  }

  void carry_out(const pool::Specialise&) {}
  void carry_out(const pool::Recycle&) {}

  void leave_idle(Sandbox& sandbox) {
    if (!sandbox.idle_since) return;
    double gigabytes = static_cast<double>(trace_.memory_bytes[sandbox.function]) / (1 << 30);
    result_.idle_gb_s +=
        gigabytes * static_cast<double>((now_ - *sandbox.idle_since).count()) / 1e6;
    sandbox.idle_since.reset();
  }

  const Trace& trace_;
  Host host_;
  pool::Pool pool_;
  Time now_{}, last_tick_{};
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  std::unordered_map<uint64_t, Call> calls_;
  std::unordered_map<uint64_t, Sandbox> sandboxes_;
  Result result_;
};

}  // namespace

Result hearth_pool(const Trace& trace, const Host& host, Duration idle_max) {
  pool::Limits limits;
  limits.memory_bytes_max = host.memory_bytes_max == 0 ? uint64_t{1} << 50 : host.memory_bytes_max;
  limits.sandboxes_max = 1u << 20;
  limits.waiting_per_function_max = limits.waiting_max = 1u << 20;
  limits.starts_at_once_max = 1u << 16;  // the peers are given as many
  limits.idle_max = idle_max;
  limits.idle_min = std::min(limits.idle_min, idle_max);
  Result result = Simulation(trace, host, limits).run();
  result.policy = "hearth";
  result.setting = std::to_string(idle_max / std::chrono::minutes(1)) + " min";
  if (host.memory_bytes_max != 0)
    result.setting += ", " + std::to_string(host.memory_bytes_max >> 30) + " GiB";
  return result;
}

}  // namespace hearth::replay
