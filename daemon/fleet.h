// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <variant>

#include "daemon/ledger/log_store.h"
#include "daemon/loop/event.h"
#include "daemon/loop/loop.h"
#include "daemon/loop/task.h"
#include "daemon/loop/task_set.h"
#include "daemon/registry/registry.h"
#include "daemon/spawner.h"
#include "daemon/worker.h"
#include "pool/pool.h"

namespace hearth::daemon {

struct FleetOptions {
  pool::Limits pool;
  sandbox::Limits
      limits_max;             // of a generic sandbox until it is specialised: open files, file size
  std::string default_image;  // empty: by runtime
  std::chrono::milliseconds setup_limit{5000};  // a sandbox's set-up
  std::chrono::milliseconds load_limit{
      10000};  // interpreter start and the import of the function's code
  std::chrono::milliseconds recycle_limit{2000};  // scrub and park the next process
  uint32_t zygote_calls_max = 10000;              // a zygote is replaced after so many calls …
  std::chrono::minutes zygote_age_max{60};  // … or so long: its children share its address layout
  uint64_t zygote_growth_max = 32u << 20;   // … or when it grew by more bytes than this
  uint32_t trials_max = 2;  // deploys that load code at once, outside the pool's memory bound
};

class Fleet;

// A call's hold on a sandbox. Destroyed without keep(): the sandbox is killed, with every process
// of the call.
class Lease {
 public:
  Lease(Fleet& fleet, pool::CallId call, pool::SandboxId sandbox, Worker& worker, pool::Start start,
        uint64_t init_us)
      : fleet_(&fleet),
        call_(call),
        sandbox_(sandbox),
        worker_(&worker),
        start_(start),
        init_us_(init_us) {}
  Lease(Lease&& other) noexcept;
  Lease& operator=(Lease&&) = delete;
  ~Lease();

  Worker& worker() { return *worker_; }
  pool::Start start() const { return start_; }
  uint64_t init_us() const { return init_us_; }  // what loading its code took
  void keep() { finish_ = pool::Finish::kClean; }

 private:
  Fleet* fleet_;
  pool::CallId call_;
  pool::SandboxId sandbox_;
  Worker* worker_;
  pool::Start start_;
  uint64_t init_us_;
  pool::Finish finish_ = pool::Finish::kDoubt;
};

struct Refused {
  pool::Refusal why;
  uint64_t limit = 0;
  std::chrono::microseconds retry_after{0};
  std::optional<StartFailure> failure;  // kStartFailed: why
};

// Carries out what the pool decides: builds, specialises, recycles and destroys sandboxes, and
// hands them to calls.
class Fleet {
 public:
  Fleet(loop::Loop& loop, Spawner& spawner, ledger::LogStore& logs, FleetOptions options);
  ~Fleet();
  Fleet(const Fleet&) = delete;
  Fleet& operator=(const Fleet&) = delete;

  void set_tenant(const std::string& tenant, uint32_t concurrency_max);
  void remove_tenant(const std::string& tenant);
  void add_function(const std::shared_ptr<const registry::Version>& version);
  void retire_function(const registry::Version& version);  // calls in flight finish
  // No sandbox is left of its retired versions; it may be deployed again meanwhile.
  loop::Task<void> function_idle(std::string tenant, std::string function);

  // Waits in the tenant's fair queue. Destroying the task gives the place up.
  loop::Task<std::variant<Lease, Refused>> lease(std::shared_ptr<const registry::Version> version);

  // Does the code of this version load? Uses a sandbox of its own and destroys it.
  loop::Task<std::optional<StartFailure>> trial(std::shared_ptr<const registry::Version> version,
                                                std::string* output);

  // Removes the empty cgroup of a deleted function, or of a deleted tenant (no function).
  void prune(std::string tenant, std::string function);

  void drain();
  loop::Task<void> drained();
  void kill_all();

  pool::Pool::Counts counts() const { return pool_.counts(); }
  pool::Pool::Counts counts(uint32_t version_id) const;
  // Returns once a call runs.
  loop::Task<void> some_call();
  // Every worker whose call is running now.
  void for_each_calling(const std::function<void(Worker&)>& visit);

 private:
  friend class Lease;
  struct Sandbox;
  // A version from its going live to its last sandbox's end. One that comes back by a rollback is a
  // new activation.
  struct Activation {
    std::shared_ptr<const registry::Version> version;
    uint32_t sandboxes = 0;
    bool retired = false;
    std::optional<StartFailure> start_failure;  // the last one
  };
  class Ticket;

  pool::Time now() const;
  void execute(const pool::Actions& actions);
  void carry_out(const pool::Assign& action);
  void carry_out(const pool::Create& action);
  void carry_out(const pool::Specialise& action);
  void carry_out(const pool::Recycle& action);
  void carry_out(const pool::Destroy& action);
  void carry_out(const pool::Refuse& action);

  loop::Task<void> build(pool::SandboxId id);
  loop::Task<void> specialise(pool::SandboxId id);
  loop::Task<void> recycle(pool::SandboxId id);
  loop::Task<void> destroy(pool::SandboxId id);
  loop::Task<void> ticking();
  loop::Task<std::optional<StartFailure>> set_up(Sandbox& sandbox);
  loop::Task<std::optional<StartFailure>> start_code(Sandbox& sandbox,
                                                     std::vector<std::string>* notes);
  loop::Task<std::optional<StartFailure>> start_logged(Sandbox& sandbox);
  enum class Blame { kFunction, kSandbox };
  void started(Sandbox& sandbox, std::optional<StartFailure> failure,
               Blame blame = Blame::kFunction);
  void report(Sandbox& sandbox, StartFailure failure, Blame blame);
  void give_up(Sandbox& sandbox);
  void lost(pool::SandboxId id);
  void finish(pool::CallId call, pool::SandboxId sandbox, pool::Finish finish);
  bool worn_out(const Sandbox& sandbox) const;
  bool grew(Sandbox& sandbox) const;
  Sandbox* find(pool::SandboxId id);
  void forget(pool::SandboxId id);
  void attach(Sandbox& sandbox, pool::FunctionId function);
  void hurry_when_killed(Sandbox& sandbox, const sandbox::Limits& limits);
  sandbox::Spec spec_of(const Sandbox& sandbox) const;

  loop::Loop& loop_;
  Spawner& spawner_;
  ledger::LogStore& logs_;
  FleetOptions options_;
  pool::Pool pool_;
  uint64_t next_call_ = 1;
  uint64_t next_trial_ = uint64_t{1} << 62;  // trial sandboxes' ids, apart from the pool's
  uint32_t trials_ = 0;
  loop::Event trial_over_;
  uint32_t next_activation_ = 1;
  std::unordered_map<uint32_t, Activation> activations_;  // by the pool's FunctionId
  std::unordered_map<uint32_t, uint32_t> live_;           // version id -> activation
  std::unordered_map<uint64_t, std::unique_ptr<Sandbox>> sandboxes_;
  std::unordered_map<uint64_t, Ticket*> waiting_;
  loop::Event gone_;     // notified when a sandbox has gone
  uint32_t calls_ = 0;   // that hold a sandbox
  loop::Event busy_;     // notified when a call got one
  loop::TaskSet tasks_;  // last: cancelled before what they use
};

}  // namespace hearth::daemon
