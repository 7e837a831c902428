// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>

#include "pool/pool.h"

namespace hearth::pool {

// A pool whose every answer is held against what the pool promises. It keeps a model of its own,
// made only of the events that went in and the actions that came out, and throws std::logic_error
// at the first action or state that breaks a promise.
class CheckedPool {
 public:
  enum class Phase { kBuilding, kGeneric, kSpecialising, kReady, kRunning, kRecycling, kStopping };
  struct SandboxModel {
    Phase phase = Phase::kBuilding;
    std::optional<FunctionId> function;
    std::string key;
    uint64_t memory_bytes = 0;
    std::optional<CallId> call;
    bool used = false;
    bool for_calls = false;
  };
  struct CallModel {
    FunctionId function{};
    std::optional<SandboxId> sandbox;  // none: it waits, or its sandbox is gone
    bool running = false;
  };
  struct FunctionModel {
    Function function;
    bool retired = false;
    bool troubled = false;  // a start of it failed once: it may be held back
  };

  explicit CheckedPool(Limits limits);

  void set_tenant(const std::string& tenant, TenantLimits limits);
  void remove_tenant(const std::string& tenant);
  Actions add_function(FunctionId id, const Function& function, Time now);
  Actions retire_function(FunctionId id, Time now);
  Actions call_arrived(CallId call, FunctionId function, Time now);
  Actions call_cancelled(CallId call, Time now);
  Actions call_finished(CallId call, Finish finish, Time now);
  Actions sandbox_ready(SandboxId sandbox, Time now);
  Actions sandbox_gone(SandboxId sandbox, Time now);
  Actions start_failed(SandboxId sandbox, Time now);
  Actions tick(Time now);
  Actions drain(Time now);
  bool drained() const { return pool_.drained(); }
  std::optional<Time> due() const { return pool_.due(); }
  Pool::Counts counts() const { return pool_.counts(); }
  Pool::Counts counts(FunctionId function) const { return pool_.counts(function); }

  const Limits& limits() const { return limits_; }
  const std::map<SandboxId, SandboxModel>& sandboxes() const { return sandboxes_; }
  const std::map<CallId, CallModel>& calls() const { return calls_; }
  const std::map<FunctionId, FunctionModel>& functions() const { return functions_; }

 private:
  Actions checked(Actions actions);
  void apply(const Assign& action);
  void apply(const Create& action);
  void apply(const Specialise& action);
  void apply(const Recycle& action);
  void apply(const Destroy& action);
  void apply(const Refuse& action);
  SandboxModel& existing(SandboxId id, const char* action);
  FunctionModel& live_function(FunctionId id, const char* action);
  void end_call(CallId id);
  void forget_tenants();

  // What the model holds now, summed up once per event.
  struct FunctionTally {
    uint32_t waiting = 0, starting = 0, ready = 0, alive = 0;
  };
  struct Tally {
    Pool::Counts counts;
    uint32_t generics = 0;
    bool any_call_runs = false;
    std::map<FunctionId, FunctionTally> functions;
    std::map<std::string, uint32_t> running;   // calls by tenant
    std::map<std::string, uint32_t> starting;  // sandboxes by tenant
    uint64_t largest_waiting_bytes = 0;
  };
  Tally tally() const;
  void check_bounds(const Tally& tally) const;
  void check_counts(const Tally& tally) const;
  void check_nobody_starves(const Tally& tally) const;
  uint32_t family_size(const Function& function) const;
  uint32_t running_of(const std::string& tenant) const;
  TenantLimits tenant_limits(const std::string& tenant) const;

  Limits limits_;
  Pool pool_;
  std::map<std::string, TenantLimits> tenants_;
  std::set<std::string> removed_tenants_;
  std::map<FunctionId, FunctionModel> functions_;
  std::map<SandboxId, SandboxModel> sandboxes_;
  std::map<CallId, CallModel> calls_;
  std::set<SandboxId> ever_;
  bool draining_ = false;
  bool tenant_changed_ = false;  // since the last tick
};

}  // namespace hearth::pool
