// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

// Decides which sandbox serves which call and which sandboxes live. It owns no process and reads no clock: each event
// returns the actions to carry out, in order, so the same events give the same actions.
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
  std::string name;          // concurrency_max counts over all versions of (tenant, name)
  std::string generic_key;   // "tenant/image/runtime" of the generic sandboxes it can start from; empty: none
  Reuse reuse = Reuse::kSandbox;
  uint64_t memory_bytes = 0; // what one sandbox of it counts against the host's bound
  uint32_t concurrency_max = 8;
  uint32_t warm_min = 0;
};

struct Limits {
  uint64_t memory_bytes_max = 0;        // all sandboxes together; never exceeded
  uint32_t sandboxes_max = 256;         // all sandboxes together
  uint32_t waiting_per_function_max = 256;
  uint32_t waiting_max = 4096;          // all waiting calls together
  uint32_t generic_per_key = 1;         // generic sandboxes kept per key that was active lately
  uint32_t generic_max = 16;
  uint64_t generic_memory_bytes = 0;    // what a generic sandbox counts
  Duration generic_idle = std::chrono::minutes(10);  // a key without calls for so long keeps no generic sandbox
  Duration idle_min = std::chrono::seconds(30);      // keep-alive of a function seen once
  Duration idle_max = std::chrono::minutes(20);      // upper bound of the arrival-rate aware keep-alive
  Duration wait_max = std::chrono::seconds(30);      // a call waits no longer than this for a sandbox
  uint32_t starts_at_once_max = 4;      // sandboxes being built at a time; bursts queue before they spawn
};

struct TenantLimits {
  uint32_t concurrency_max = 64;  // calls of the tenant running at once
  uint32_t weight = 1;            // share among tenants that wait
};

enum class Start { kWarm, kGeneric, kCold };
enum class Refusal { kQueueFull, kWaitedTooLong, kNoMemory, kDraining, kFunctionGone, kStartFailed };

// Actions ------------------------------------------------------------------------------------------------------------
struct Assign { CallId call; SandboxId sandbox; Start start; };  // send the call to this ready sandbox
struct Create { SandboxId sandbox; std::optional<FunctionId> function; std::string generic_key; };  // no function: a generic one
struct Specialise { SandboxId sandbox; FunctionId function; };   // mount and load the function's code in a generic sandbox
struct Recycle { SandboxId sandbox; };                           // scrub and park the next process (reuse = sandbox)
struct Destroy { SandboxId sandbox; };                           // answered by sandbox_gone
struct Refuse { CallId call; Refusal why; uint64_t limit; Duration retry_after; };
using Action = std::variant<Assign, Create, Specialise, Recycle, Destroy, Refuse>;
using Actions = std::vector<Action>;

// How a call left its sandbox.
enum class Finish {
  kClean,  // a reply or an error frame in turn: the sandbox may serve again as `reuse` says
  kDoubt,  // anything else: the sandbox is destroyed
};

class Pool {
 public:
  explicit Pool(Limits limits);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // What exists.
  void set_tenant(const std::string& tenant, TenantLimits limits);
  Actions add_function(FunctionId id, Function function, Time now);  // may start warm_min sandboxes
  Actions retire_function(FunctionId id, Time now);                  // waiting calls are refused, running ones finish

  // Calls.
  Actions call_arrived(CallId call, FunctionId function, Time now);
  Actions call_cancelled(CallId call, Time now);                     // client gone: waiting or assigned
  Actions call_finished(CallId call, Finish finish, Time now);

  // Sandboxes. Each Create, Specialise and Recycle is answered by sandbox_ready or sandbox_gone.
  Actions sandbox_ready(SandboxId sandbox, Time now);
  Actions sandbox_gone(SandboxId sandbox, Time now);                 // destroyed, crashed or never started
  // A start of this function failed for a reason that the next start will share (its code does not load): every waiting
  // call of it that no ready sandbox can serve is refused with kStartFailed.
  Actions start_failed(SandboxId sandbox, Time now);

  Actions tick(Time now);    // expires idle sandboxes and calls that waited too long; call it at least every 100 ms while calls wait, else every second
  Actions drain(Time now);   // refuses waiting and new calls; sandboxes go as their calls finish
  bool drained() const;      // no call runs and no sandbox lives

  struct Counts { uint32_t generic = 0, starting = 0, ready = 0, running = 0, stopping = 0, waiting = 0; uint64_t memory_bytes = 0; };
  Counts counts() const;
  Counts counts(FunctionId function) const;

 private:
  struct State;
  State* state_;
};

}  // namespace hearth::pool
