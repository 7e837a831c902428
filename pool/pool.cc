// SPDX-License-Identifier: Apache-2.0
#include "pool/pool.h"

#include <algorithm>

#include "pool/state.h"

// The events. What they decide is in calls.cc, sandboxes.cc, starts.cc and upkeep.cc.
namespace hearth::pool {

Pool::State::State(Limits given) : limits(given) {
  limits.starts_at_once_max = std::max(limits.starts_at_once_max, 1u);
  limits.idle_max = std::max(limits.idle_max, limits.idle_min);
}

Pool::Pool(Limits limits) : state_(std::make_unique<State>(limits)) {}
Pool::~Pool() = default;

void Pool::set_tenant(const std::string& name, TenantLimits limits) {
  Tenant& tenant = state_->tenant_named(name);
  limits.weight = std::max(limits.weight, 1u);
  tenant.removed = false;
  state_->waiting_room.set_limits(tenant, limits);
  state_->order.update(tenant);
  state_->changed_tenants.push_back(name);
}

void Pool::remove_tenant(const std::string& name) {
  const auto it = state_->tenants.find(name);
  if (it == state_->tenants.end()) return;
  it->second.removed = true;
  state_->forget_if_done(it->second);
}

Actions Pool::add_function(FunctionId id, Function function, Time now) {
  state_->at(now);
  if (!state_->find(id)) state_->add(id, std::move(function));
  return state_->take();
}

Actions Pool::retire_function(FunctionId id, Time now) {
  state_->at(now);
  Version* version = state_->find(id);
  if (version && !version->retired) state_->retire(*version);
  return state_->take();
}

Actions Pool::call_arrived(CallId id, FunctionId function, Time now) {
  state_->at(now);
  if (state_->calls.contains(id)) return {};
  Version* version = state_->find(function);
  if (state_->draining) {
    state_->refuse(id, Refusal::kDraining, 0, state_->limits.wait_max);
  } else if (!version || version->retired) {
    state_->refuse(id, Refusal::kFunctionGone, 0, {});
  } else {
    state_->arrive(id, *version);
  }
  return state_->take();
}

Actions Pool::call_cancelled(CallId id, Time now) {
  state_->at(now);
  const auto it = state_->calls.find(id);
  if (it != state_->calls.end()) state_->cancel(it->second);
  return state_->take();
}

Actions Pool::call_finished(CallId id, Finish finish, Time now) {
  state_->at(now);
  const auto it = state_->calls.find(id);
  if (it != state_->calls.end() && it->second.running) state_->finish(it->second, finish);
  return state_->take();
}

Actions Pool::sandbox_ready(SandboxId id, Time now) {
  state_->at(now);
  if (Sandbox* sandbox = state_->books.find(id)) state_->ready(*sandbox);
  return state_->take();
}

Actions Pool::sandbox_gone(SandboxId id, Time now) {
  state_->at(now);
  if (Sandbox* sandbox = state_->books.find(id)) state_->gone(*sandbox);
  return state_->take();
}

Actions Pool::start_failed(SandboxId id, Time now) {
  state_->at(now);
  if (Sandbox* sandbox = state_->books.find(id)) state_->fail_start(*sandbox);
  return state_->take();
}

Actions Pool::tick(Time now) {
  State& state = *state_;
  state.at(now);
  state.refuse_overdue();
  for (const std::string& name : std::exchange(state.changed_tenants, {})) {
    const auto tenant = state.tenants.find(name);
    if (tenant != state.tenants.end()) state.take_turns(tenant->second);
  }
  while (!state.wakes.empty() && state.wakes.top().first <= state.now) {
    const auto [time, id] = state.wakes.top();
    state.wakes.pop();
    const auto shelf = state.shelves.find(id);
    if (shelf != state.shelves.end() && shelf->second->wake_at == time) state.wake(*shelf->second);
  }
  state.start_for_calls();
  state.upkeep();
  return state.take();
}

std::optional<Time> Pool::due() const {
  if (!state_->changed_tenants.empty()) return state_->now;
  std::optional<Time> due;
  if (const Call* call = state_->waiting_room.oldest())
    due = call->arrived + state_->limits.wait_max;
  if (!state_->wakes.empty()) due = std::min(due.value_or(Time::max()), state_->wakes.top().first);
  return due;
}

Actions Pool::drain(Time now) {
  State& state = *state_;
  state.at(now);
  state.draining = true;
  while (Call* call = state.waiting_room.oldest()) {
    state.refuse_waiting(*call, Refusal::kDraining, 0, state.limits.wait_max);
  }
  std::vector<SandboxId> idle;
  for (const auto& [id, sandbox] : state.books.all()) {
    if (sandbox.phase != Phase::kRunning) idle.push_back(id);
  }
  std::sort(idle.begin(), idle.end());
  for (SandboxId id : idle) state.destroy(*state.books.find(id));
  return state.take();
}

bool Pool::drained() const {
  return state_->running == 0 && state_->books.census().all() == 0;
}

namespace {

Pool::Counts counts_of(const Census& census, uint32_t waiting, uint64_t memory_bytes) {
  Pool::Counts counts;
  counts.generic = census[Phase::kGeneric];
  counts.starting = census.starting();
  counts.ready = census[Phase::kReady];
  counts.running = census[Phase::kRunning];
  counts.recycling = census[Phase::kRecycling];
  counts.stopping = census[Phase::kStopping];
  counts.waiting = waiting;
  counts.memory_bytes = memory_bytes;
  return counts;
}

}  // namespace

Pool::Counts Pool::counts() const {
  return counts_of(state_->books.census(), state_->waiting_room.size(),
                   state_->books.memory_bytes());
}

Pool::Counts Pool::counts(FunctionId function) const {
  const Version* version = state_->find(function);
  if (!version) return {};
  return counts_of(version->sandboxes, version->waiting.size(),
                   version->sandboxes.all() * version->spec.memory_bytes);
}

}  // namespace hearth::pool
