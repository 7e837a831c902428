// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/pool/simulated_host.h"

#include <algorithm>

namespace hearth::pool {

SimulatedHost::SimulatedHost(Limits limits, Costs costs, uint64_t seed)
    : costs_(costs), pool_(limits), random_(seed) {
  at(now_ + costs_.tick, [this] { tick(); });
}

FunctionId SimulatedHost::deploy(Function function, Duration run) {
  const FunctionId id{++last_function_};
  runs_[id] = run;
  carry_out(pool_.add_function(id, function, now_));
  return id;
}

void SimulatedHost::retire(FunctionId function) {
  carry_out(pool_.retire_function(function, now_));
}

void SimulatedHost::call_at(Time time, FunctionId function) {
  at(time, [this, function] { call(function); });
}

CallId SimulatedHost::call(FunctionId function) {
  const CallId id{++last_call_};
  outcomes_[id] = {.function = function, .arrived = now_};
  carry_out(pool_.call_arrived(id, function, now_));
  return id;
}

void SimulatedHost::cancel(CallId call) {
  Outcome& outcome = outcomes_.at(call);
  if (outcome.finished || outcome.refused || outcome.cancelled) return;
  outcome.cancelled = true;
  carry_out(pool_.call_cancelled(call, now_));
}

void SimulatedHost::kill(SandboxId sandbox) {
  const auto it = pool_.sandboxes().find(sandbox);
  if (it == pool_.sandboxes().end()) return;
  const std::optional<CallId> call = it->second.call;
  carry_out(pool_.sandbox_gone(sandbox, now_));
  if (!call) return;
  outcomes_.at(*call).finished = now_;
  carry_out(pool_.call_finished(*call, Finish::kDoubt, now_));
}

void SimulatedHost::drain() {
  carry_out(pool_.drain(now_));
}

void SimulatedHost::at(Time time, std::function<void()> what) {
  events_.push({std::max(time, now_), ++last_event_, std::move(what)});
}

void SimulatedHost::run_until(Time time) {
  while (!events_.empty() && events_.top().time <= time) {
    const Event event = events_.top();
    events_.pop();
    now_ = event.time;
    event.what();
  }
  now_ = time;
}

std::vector<SimulatedHost::Outcome> SimulatedHost::outcomes_of(FunctionId function) const {
  std::vector<Outcome> all;
  for (const auto& [id, outcome] : outcomes_) {
    if (outcome.function == function) all.push_back(outcome);
  }
  return all;
}

uint32_t SimulatedHost::started(FunctionId function) const {
  const auto it = started_.find(function);
  return it == started_.end() ? 0 : it->second;
}

uint32_t SimulatedHost::sandboxes_most(FunctionId function) const {
  const auto it = most_.find(function);
  return it == most_.end() ? 0 : it->second;
}

void SimulatedHost::carry_out(const Actions& actions) {
  for (const Action& action : actions) {
    std::visit([this](const auto& each) { carry_out(each); }, action);
  }
  for (const auto& [id, unused] : started_) {
    const Pool::Counts counts = pool_.counts(id);
    most_[id] = std::max(most_[id], counts.starting + counts.ready + counts.running +
                                        counts.recycling + counts.stopping);
  }
}

void SimulatedHost::carry_out(const Assign& action) {
  Outcome& outcome = outcomes_.at(action.call);
  outcome.assigned = now_;
  outcome.start = action.start;
  const bool crashes = chance(costs_.crashes);
  at(now_ + jittered(runs_[outcome.function]), [this, action, crashes] {
    Outcome& ended = outcomes_.at(action.call);
    if (ended.cancelled || ended.finished) return;
    if (crashes) return kill(action.sandbox);
    ended.finished = now_;
    carry_out(pool_.call_finished(action.call, Finish::kClean, now_));
  });
}

void SimulatedHost::carry_out(const Create& action) {
  ++created_;
  start(action.sandbox, action.function, costs_.create);
}

void SimulatedHost::carry_out(const Specialise& action) {
  start(action.sandbox, action.function, costs_.specialise);
}

void SimulatedHost::start(SandboxId sandbox, std::optional<FunctionId> function, Duration cost) {
  if (function) ++started_[*function];
  const bool lost = chance(costs_.lost_starts);
  at(now_ + jittered(cost), [this, sandbox, function, lost] {
    if (lost) return carry_out(pool_.sandbox_gone(sandbox, now_));
    if (function && broken_[*function]) return carry_out(pool_.start_failed(sandbox, now_));
    carry_out(pool_.sandbox_ready(sandbox, now_));
  });
}

void SimulatedHost::carry_out(const Recycle& action) {
  at(now_ + jittered(costs_.recycle),
     [this, action] { carry_out(pool_.sandbox_ready(action.sandbox, now_)); });
}

void SimulatedHost::carry_out(const Destroy& action) {
  at(now_ + jittered(costs_.destroy),
     [this, action] { carry_out(pool_.sandbox_gone(action.sandbox, now_)); });
}

void SimulatedHost::carry_out(const Refuse& action) {
  outcomes_.at(action.call).refused = action;
}

void SimulatedHost::tick() {
  carry_out(pool_.tick(now_));
  at(now_ + costs_.tick, [this] { tick(); });
}

Duration SimulatedHost::jittered(Duration duration) {
  if (costs_.jitter == 0) return duration;
  const double factor =
      std::uniform_real_distribution<>(1 - costs_.jitter, 1 + costs_.jitter)(random_);
  return Duration(static_cast<int64_t>(static_cast<double>(duration.count()) * factor));
}

Function function_of(const std::string& tenant, const std::string& name, uint64_t memory_bytes) {
  Function function;
  function.tenant = tenant;
  function.name = name;
  function.memory_bytes = memory_bytes;
  return function;
}

}  // namespace hearth::pool
