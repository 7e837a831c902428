// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

// Decides which sandbox serves which call and which sandboxes live. It owns no process and reads
// no clock: each event returns the actions to carry out, in order, so the same events give the
// same actions. ARCHITECTURE.md, "Pool policy", says what is decided and why.
namespace hearth::pool {

using Time = std::chrono::time_point<std::chrono::steady_clock, std::chrono::microseconds>;
using Duration = std::chrono::microseconds;

enum class SandboxId : uint64_t {};
enum class CallId : uint64_t {};
enum class FunctionId : uint32_t {};  // one per deployed version; never used again after retirement

enum class Reuse { kNever, kSandbox, kProcess };

// What the pool must know of a function's version.
struct Function {
  std::string tenant;
  std::string name;  // concurrency_max counts over all versions of (tenant, name)
  // "tenant/image/runtime" of the generic sandboxes it can start from; empty: none
  std::string generic_key;
  Reuse reuse = Reuse::kSandbox;
  uint64_t memory_bytes = 0;  // what one sandbox of it counts against the host's bound
  // Sandboxes of it at once, those being destroyed included, so that whoever sets 1 never has two
  // calls of it overlap, not even with one that is being killed.
  uint32_t concurrency_max = 8;
  uint32_t warm_min = 0;  // sandboxes kept without calls
};

struct Limits {
  uint64_t memory_bytes_max = 0;  // all sandboxes together; never exceeded
  uint32_t sandboxes_max = 256;   // all sandboxes together
  uint32_t waiting_per_function_max = 256;
  uint32_t waiting_max = 4096;        // all waiting calls together
  uint32_t generic_per_key = 1;       // generic sandboxes kept per key that was active lately
  uint32_t generic_max = 16;          // generic sandboxes together
  uint64_t generic_memory_bytes = 0;  // what a generic sandbox counts
  // A key without calls and deploys for so long keeps no generic sandbox.
  Duration generic_idle = std::chrono::minutes(10);
  Duration idle_min = std::chrono::seconds(30);  // keep-alive of a function seen once
  Duration idle_max = std::chrono::minutes(20);  // upper bound of the arrival-aware keep-alive
  Duration wait_max = std::chrono::seconds(30);  // a call waits no longer than this for a sandbox
  uint32_t starts_at_once_max =
      4;  // sandboxes being built at a time; bursts queue before they spawn
};

struct TenantLimits {
  uint32_t concurrency_max = 64;  // calls of the tenant running at once
  uint32_t weight = 1;            // share among tenants that wait
};

// kWarm: a sandbox that served before, or one started ahead of any call. The first call of a
// sandbox started because calls waited is kGeneric or kCold.
enum class Start { kWarm, kGeneric, kCold };

enum class Refusal {
  kQueueFull,      // limit: the calls of one function that may wait
  kRoomFull,       // limit: the calls of all functions together that may wait
  kWaitedTooLong,  // limit: milliseconds
  kNoMemory,       // limit: bytes; no waiting would help
  kDraining,
  kFunctionGone,
  kStartFailed,
};

// Actions -----------------------------------------------------------------------------------------

// Send the call to this ready sandbox.
struct Assign {
  CallId call;
  SandboxId sandbox;
  Start start;
};
// Build a sandbox: loaded with the function, or a generic one of the key where there is none.
struct Create {
  SandboxId sandbox;
  std::optional<FunctionId> function;
  std::string generic_key;
};
// Mount and load the function's code in a generic sandbox.
struct Specialise {
  SandboxId sandbox;
  FunctionId function;
};
// Scrub and park the next process (reuse = sandbox).
struct Recycle {
  SandboxId sandbox;
};
// Kill it, in whatever state it is, also while it is being built; answered by sandbox_gone.
struct Destroy {
  SandboxId sandbox;
};
// Answer the call with a refusal. retry_after is a guess; zero where trying again is no use.
struct Refuse {
  CallId call;
  Refusal why;
  uint64_t limit;
  Duration retry_after;
};
using Action = std::variant<Assign, Create, Specialise, Recycle, Destroy, Refuse>;
using Actions = std::vector<Action>;

// How a call left its sandbox.
enum class Finish {
  kClean,  // a reply or an error frame in turn: the sandbox may serve again as `reuse` says
  kDoubt,  // anything else: the sandbox is destroyed
};

// Events about ids that the pool does not know (any more), or that come twice, change nothing:
// a sandbox may die at the same moment as its call ends, and either may be told first.
class Pool {
 public:
  explicit Pool(Limits limits);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // What exists.
  void set_tenant(const std::string& tenant, TenantLimits limits);  // the next tick acts on it
  void remove_tenant(const std::string& tenant);  // forgotten once its last function is gone
  Actions add_function(FunctionId id, Function function, Time now);  // may start sandboxes
  // Waiting calls are refused, running ones finish.
  Actions retire_function(FunctionId id, Time now);

  // Calls. Each one that arrives gets exactly one Assign or Refuse, unless it is cancelled first.
  Actions call_arrived(CallId call, FunctionId function, Time now);
  Actions call_cancelled(CallId call, Time now);  // client gone: waiting or assigned
  Actions call_finished(CallId call, Finish finish, Time now);

  // Sandboxes. Each Create, Specialise and Recycle is answered by sandbox_ready or sandbox_gone.
  Actions sandbox_ready(SandboxId sandbox, Time now);
  // Destroyed, crashed or never started. A call that ran on it still needs its call_finished.
  Actions sandbox_gone(SandboxId sandbox, Time now);
  // A start of this function failed for a reason that the next start will share (its code does not
  // load). Every waiting call of it is refused with kStartFailed, unless other sandboxes of it
  // serve; the next attempt waits longer each time. Told before sandbox_gone; answers Destroy.
  Actions start_failed(SandboxId sandbox, Time now);

  // Expires idle sandboxes and calls that waited too long. Call it when due() says, or at least
  // every 100 ms while calls wait and else every second.
  Actions tick(Time now);
  std::optional<Time> due() const;  // when tick has something to do at the earliest
  Actions drain(Time now);  // refuses waiting and new calls; sandboxes go as their calls finish
  bool drained() const;     // no call runs and no sandbox lives

  struct Counts {
    uint32_t generic = 0, starting = 0, ready = 0, running = 0, recycling = 0, stopping = 0;
    uint32_t waiting = 0;
    uint64_t memory_bytes = 0;
  };
  Counts counts() const;
  Counts counts(FunctionId function) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace hearth::pool
