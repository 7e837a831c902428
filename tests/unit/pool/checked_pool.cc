// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/pool/checked_pool.h"

#include <algorithm>
#include <stdexcept>

namespace hearth::pool {

namespace {

using Phase = CheckedPool::Phase;

void require(bool holds, const std::string& promise) {
  if (!holds) throw std::logic_error(promise);
}

template <typename Id>
std::string named(const char* what, Id id) {
  return std::string(what) + " " + std::to_string(static_cast<uint64_t>(id));
}

}  // namespace

CheckedPool::CheckedPool(Limits limits) : limits_(limits), pool_(limits) {}

// Events ------------------------------------------------------------------------------------------

void CheckedPool::set_tenant(const std::string& tenant, TenantLimits limits) {
  tenants_[tenant] = limits;
  removed_tenants_.erase(tenant);
  tenant_changed_ = true;
  pool_.set_tenant(tenant, limits);
}

void CheckedPool::remove_tenant(const std::string& tenant) {
  removed_tenants_.insert(tenant);
  pool_.remove_tenant(tenant);
  forget_tenants();
}

// A removed tenant's limits hold until nothing of it is left.
void CheckedPool::forget_tenants() {
  std::set<std::string> alive;
  for (const auto& [id, model] : functions_) {
    if (!model.retired) alive.insert(model.function.tenant);
  }
  for (const auto& [id, sandbox] : sandboxes_) {
    if (sandbox.function) alive.insert(functions_.at(*sandbox.function).function.tenant);
  }
  for (const auto& [id, call] : calls_) {
    if (call.running) alive.insert(functions_.at(call.function).function.tenant);
  }
  std::erase_if(removed_tenants_, [&](const std::string& tenant) {
    if (alive.contains(tenant)) return false;
    tenants_.erase(tenant);
    return true;
  });
}

Actions CheckedPool::add_function(FunctionId id, const Function& function, Time now) {
  functions_.try_emplace(id, FunctionModel{function, false, false});
  return checked(pool_.add_function(id, function, now));
}

Actions CheckedPool::retire_function(FunctionId id, Time now) {
  if (functions_.contains(id)) functions_[id].retired = true;
  return checked(pool_.retire_function(id, now));
}

Actions CheckedPool::call_arrived(CallId call, FunctionId function, Time now) {
  require(calls_.try_emplace(call, CallModel{function, {}, false}).second, "test: call id is new");
  Actions actions = checked(pool_.call_arrived(call, function, now));
  const auto it = functions_.find(function);
  const bool serves = it != functions_.end() && !it->second.retired && !draining_;
  require(serves || !calls_.contains(call), "a call that nothing can serve is refused at once");
  return actions;
}

Actions CheckedPool::call_cancelled(CallId call, Time now) {
  end_call(call);
  return checked(pool_.call_cancelled(call, now));
}

Actions CheckedPool::call_finished(CallId call, Finish finish, Time now) {
  const auto it = calls_.find(call);
  if (it != calls_.end() && it->second.running) end_call(call);
  return checked(pool_.call_finished(call, finish, now));
}

Actions CheckedPool::sandbox_ready(SandboxId id, Time now) {
  const auto it = sandboxes_.find(id);
  if (it != sandboxes_.end()) {
    SandboxModel& sandbox = it->second;
    const Phase phase = sandbox.phase;
    if (phase == Phase::kBuilding || phase == Phase::kSpecialising || phase == Phase::kRecycling) {
      sandbox.phase = sandbox.function ? Phase::kReady : Phase::kGeneric;
    }
  }
  return checked(pool_.sandbox_ready(id, now));
}

Actions CheckedPool::sandbox_gone(SandboxId id, Time now) {
  const auto it = sandboxes_.find(id);
  if (it != sandboxes_.end()) {
    const SandboxModel& sandbox = it->second;
    if (sandbox.call) calls_.at(*sandbox.call).sandbox.reset();
    if (sandbox.function && !sandbox.used && sandbox.phase != Phase::kStopping) {
      functions_.at(*sandbox.function).troubled = true;
    }
    sandboxes_.erase(it);
  }
  return checked(pool_.sandbox_gone(id, now));
}

Actions CheckedPool::start_failed(SandboxId id, Time now) {
  const auto it = sandboxes_.find(id);
  if (it != sandboxes_.end() && it->second.function) {
    functions_.at(*it->second.function).troubled = true;
  }
  return checked(pool_.start_failed(id, now));
}

Actions CheckedPool::tick(Time now) {
  tenant_changed_ = false;
  return checked(pool_.tick(now));
}

Actions CheckedPool::drain(Time now) {
  draining_ = true;
  return checked(pool_.drain(now));
}

// Actions -----------------------------------------------------------------------------------------

Actions CheckedPool::checked(Actions actions) {
  for (const Action& action : actions) {
    std::visit([this](const auto& each) { apply(each); }, action);
  }
  const Tally now = tally();
  check_bounds(now);
  check_counts(now);
  check_nobody_starves(now);
  if (!removed_tenants_.empty()) forget_tenants();
  return actions;
}

void CheckedPool::apply(const Assign& action) {
  const auto call = calls_.find(action.call);
  require(call != calls_.end(), named("assigned call is waiting:", action.call));
  require(!call->second.running, named("call is assigned once:", action.call));
  SandboxModel& sandbox = existing(action.sandbox, "Assign");
  require(sandbox.phase == Phase::kReady && !sandbox.call, "an assigned sandbox is ready and free");
  require(sandbox.function == call->second.function, "a sandbox serves its own function only");
  const FunctionModel& model = live_function(*sandbox.function, "Assign");
  require(!(sandbox.used && model.function.reuse == Reuse::kNever), "reuse = never is kept");
  const std::string& tenant = model.function.tenant;
  require(running_of(tenant) < tenant_limits(tenant).concurrency_max || tenant_changed_,
          "a tenant runs no more calls than it may");
  if (sandbox.used) require(action.start == Start::kWarm, "a used sandbox is warm");
  sandbox.phase = Phase::kRunning;
  sandbox.call = action.call;
  sandbox.used = true;
  call->second.running = true;
  call->second.sandbox = action.sandbox;
}

void CheckedPool::apply(const Create& action) {
  require(ever_.insert(action.sandbox).second, named("a new sandbox's id is new:", action.sandbox));
  SandboxModel sandbox;
  sandbox.function = action.function;
  sandbox.key = action.generic_key;
  sandbox.memory_bytes = limits_.generic_memory_bytes;
  require(!draining_, "nothing starts while draining");
  if (action.function) {
    const FunctionModel& model = live_function(*action.function, "Create");
    sandbox.memory_bytes = model.function.memory_bytes;
    require(action.generic_key == model.function.generic_key, "a sandbox starts from its own key");
    require(family_size(model.function) < std::max(model.function.concurrency_max, 1u),
            "a function has no more sandboxes than concurrency_max");
  } else {
    const bool needed = std::any_of(functions_.begin(), functions_.end(), [&](const auto& each) {
      return !each.second.retired && each.second.function.generic_key == action.generic_key;
    });
    require(needed, "a generic sandbox's key is some function's");
  }
  sandboxes_.emplace(action.sandbox, sandbox);
}

void CheckedPool::apply(const Specialise& action) {
  SandboxModel& sandbox = existing(action.sandbox, "Specialise");
  const FunctionModel& model = live_function(action.function, "Specialise");
  require(sandbox.phase == Phase::kGeneric, "only an idle generic sandbox is specialised");
  require(sandbox.key == model.function.generic_key, "a generic sandbox serves its own key only");
  require(family_size(model.function) < std::max(model.function.concurrency_max, 1u),
          "a function has no more sandboxes than concurrency_max");
  sandbox.phase = Phase::kSpecialising;
  sandbox.function = action.function;
  sandbox.memory_bytes = model.function.memory_bytes;
}

void CheckedPool::apply(const Recycle& action) {
  SandboxModel& sandbox = existing(action.sandbox, "Recycle");
  require(sandbox.phase == Phase::kRunning && !sandbox.call, "only a used sandbox is recycled");
  const FunctionModel& model = live_function(*sandbox.function, "Recycle");
  require(model.function.reuse == Reuse::kSandbox, "only reuse = sandbox is recycled");
  sandbox.phase = Phase::kRecycling;
}

void CheckedPool::apply(const Destroy& action) {
  SandboxModel& sandbox = existing(action.sandbox, "Destroy");
  require(!sandbox.call, "no sandbox is destroyed under a call that runs");
  sandbox.phase = Phase::kStopping;
}

void CheckedPool::apply(const Refuse& action) {
  const auto call = calls_.find(action.call);
  require(call != calls_.end() && !call->second.running, "only a waiting call is refused");
  if (action.why == Refusal::kQueueFull) {
    require(action.limit == limits_.waiting_per_function_max, "a full queue names its limit");
  }
  if (action.why == Refusal::kRoomFull) {
    require(action.limit == limits_.waiting_max, "a full waiting room names its limit");
  }
  require(action.retry_after >= Duration::zero(), "retry_after lies ahead");
  calls_.erase(call);
}

CheckedPool::SandboxModel& CheckedPool::existing(SandboxId id, const char* action) {
  const auto it = sandboxes_.find(id);
  require(it != sandboxes_.end(), named(action, id) + " names a sandbox that exists");
  require(it->second.phase != Phase::kStopping, named(action, id) + " names one not destroyed");
  return it->second;
}

CheckedPool::FunctionModel& CheckedPool::live_function(FunctionId id, const char* action) {
  const auto it = functions_.find(id);
  require(it != functions_.end() && !it->second.retired, named(action, id) + " names a function");
  return it->second;
}

// The call runs no more. Its sandbox stays in kRunning until the pool says what becomes of it.
void CheckedPool::end_call(CallId id) {
  const auto it = calls_.find(id);
  if (it == calls_.end()) return;
  if (it->second.sandbox) {
    SandboxModel& sandbox = sandboxes_.at(*it->second.sandbox);
    sandbox.call.reset();
    const FunctionModel& model = functions_.at(*sandbox.function);
    // reuse = process needs no action between two calls.
    if (model.function.reuse == Reuse::kProcess) sandbox.phase = Phase::kReady;
  }
  calls_.erase(it);
}

// States ------------------------------------------------------------------------------------------

CheckedPool::Tally CheckedPool::tally() const {
  Tally sum;
  for (const auto& [id, sandbox] : sandboxes_) {
    Pool::Counts& counts = sum.counts;
    counts.memory_bytes += sandbox.memory_bytes;
    const Phase phase = sandbox.phase;
    const bool starts = phase == Phase::kBuilding || phase == Phase::kSpecialising;
    counts.starting += starts;
    counts.generic += phase == Phase::kGeneric;
    counts.ready += phase == Phase::kReady;
    counts.running += phase == Phase::kRunning;
    counts.recycling += phase == Phase::kRecycling;
    counts.stopping += phase == Phase::kStopping;
    sum.generics += !sandbox.function && phase != Phase::kStopping;
    if (!sandbox.function) continue;
    FunctionTally& function = sum.functions[*sandbox.function];
    function.alive += phase != Phase::kStopping;
    function.ready += phase == Phase::kReady;
    function.starting += starts;
    sum.starting[functions_.at(*sandbox.function).function.tenant] += starts;
  }
  for (const auto& [id, call] : calls_) {
    sum.any_call_runs |= call.running;
    sum.counts.waiting += !call.running;
    if (!functions_.contains(call.function)) continue;
    const Function& function = functions_.at(call.function).function;
    sum.running[function.tenant] += call.running;
    if (call.running) continue;
    ++sum.functions[call.function].waiting;
    sum.largest_waiting_bytes = std::max(sum.largest_waiting_bytes, function.memory_bytes);
  }
  return sum;
}

void CheckedPool::check_bounds(const Tally& tally) const {
  require(tally.counts.memory_bytes <= limits_.memory_bytes_max, "the memory bound is kept");
  require(sandboxes_.size() <= limits_.sandboxes_max, "sandboxes_max is kept");
  require(tally.counts.starting <= std::max(limits_.starts_at_once_max, 1u),
          "starts_at_once_max is kept");
  require(tally.generics <= limits_.generic_max, "generic_max is kept");
  require(tally.counts.waiting <= limits_.waiting_max, "waiting_max is kept");
  require(!draining_ || tally.counts.waiting == 0, "no call waits while draining");
  for (const auto& [id, function] : tally.functions) {
    require(function.waiting <= limits_.waiting_per_function_max,
            "waiting_per_function_max is kept");
  }
  for (const auto& [id, sandbox] : sandboxes_) {
    const bool freed = sandbox.phase == Phase::kRunning && !sandbox.call;
    require(!freed, "a sandbox whose call ended is recycled or destroyed");
    require(!draining_ || sandbox.phase == Phase::kRunning || sandbox.phase == Phase::kStopping,
            "only what runs lives on while draining");
  }
}

void CheckedPool::check_counts(const Tally& tally) const {
  const Pool::Counts counts = pool_.counts();
  const Pool::Counts& model = tally.counts;
  require(counts.starting == model.starting && counts.generic == model.generic &&
              counts.ready == model.ready && counts.running == model.running &&
              counts.recycling == model.recycling && counts.stopping == model.stopping,
          "the pool counts the sandboxes that there are");
  require(counts.waiting == model.waiting, "the pool counts the calls that wait");
  require(counts.memory_bytes == model.memory_bytes, "the pool counts the memory that is taken");
  require(pool_.drained() == (sandboxes_.empty() && !tally.any_call_runs),
          "drained() is true exactly when nothing lives");
}

// What can be said without knowing the policy: a ready sandbox is not withheld from a call that
// may run, and a function without any sandbox gets one when everybody who waits would have room.
void CheckedPool::check_nobody_starves(const Tally& tally) const {
  if (tenant_changed_) return;
  const bool room =
      tally.counts.memory_bytes + tally.largest_waiting_bytes <= limits_.memory_bytes_max &&
      sandboxes_.size() < limits_.sandboxes_max &&
      tally.counts.starting < limits_.starts_at_once_max;
  for (const auto& [id, function] : tally.functions) {
    if (function.waiting == 0) continue;
    const FunctionModel& model = functions_.at(id);
    const std::string& tenant = model.function.tenant;
    const uint32_t tenant_max = tenant_limits(tenant).concurrency_max;
    const auto running = tally.running.find(tenant);
    const auto starting = tally.starting.find(tenant);
    const uint32_t runs = running == tally.running.end() ? 0 : running->second;
    const uint32_t starts = starting == tally.starting.end() ? 0 : starting->second;
    require(runs >= tenant_max || function.ready == 0,
            "no call waits beside a ready sandbox that it may use");
    if (!room || model.troubled || function.alive > 0 || runs + starts >= tenant_max) continue;
    if (family_size(model.function) >= model.function.concurrency_max) continue;
    require(false, named("no function starves beside free room:", id));
  }
}

uint32_t CheckedPool::family_size(const Function& function) const {
  uint32_t size = 0;
  for (const auto& [id, sandbox] : sandboxes_) {
    if (!sandbox.function) continue;
    const Function& other = functions_.at(*sandbox.function).function;
    size += other.tenant == function.tenant && other.name == function.name;
  }
  return size;
}

uint32_t CheckedPool::running_of(const std::string& tenant) const {
  uint32_t running = 0;
  for (const auto& [id, call] : calls_) {
    running += call.running && functions_.at(call.function).function.tenant == tenant;
  }
  return running;
}

TenantLimits CheckedPool::tenant_limits(const std::string& tenant) const {
  const auto it = tenants_.find(tenant);
  return it == tenants_.end() ? TenantLimits{} : it->second;
}

}  // namespace hearth::pool
