// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>

#include "pool/backoff.h"
#include "pool/keep_alive.h"
#include "pool/list.h"
#include "pool/pool.h"

// What the pool knows of. These are records without behaviour; Books, FairOrder and WaitingRoom
// keep their counters and lists true, Pool::State decides.
namespace hearth::pool {

struct Version;
struct Generics;
struct Tenant;

enum class Phase : uint8_t {
  kBuilding,  // a Create is under way, with or without a function
  kGeneric,   // idle, no function yet
  kSpecialising,
  kReady,  // idle, loaded
  kRunning,
  kRecycling,
  kStopping,  // counts until it is gone
};

// Sandboxes by phase.
class Census {
 public:
  uint32_t& operator[](Phase phase) { return counts_[static_cast<size_t>(phase)]; }
  uint32_t operator[](Phase phase) const { return counts_[static_cast<size_t>(phase)]; }
  uint32_t starting() const { return (*this)[Phase::kBuilding] + (*this)[Phase::kSpecialising]; }
  uint32_t all() const {
    uint32_t sum = 0;
    for (uint32_t count : counts_) sum += count;
    return sum;
  }
  uint32_t alive() const { return all() - (*this)[Phase::kStopping]; }

 private:
  std::array<uint32_t, 7> counts_{};
};

struct Call {
  CallId id{};
  Version* version = nullptr;
  Time arrived{};
  uint64_t number = 0;  // order of arrival over all calls
  bool running = false;
  struct Sandbox* sandbox = nullptr;  // none while it waits, and once its sandbox is gone
  Time assigned{};
  uint64_t charged = 0;  // to the tenant, before the call's real cost was known
  Link<Call> in_version, in_tenant, in_room;
};

struct Sandbox {
  SandboxId id{};
  Phase phase = Phase::kBuilding;
  Version* version = nullptr;  // exactly one of these two is set
  Generics* generics = nullptr;
  uint64_t memory_bytes = 0;
  Call* call = nullptr;
  Time since{};      // when the phase began
  double worth = 0;  // place in the eviction order while it idles
  Start first_start = Start::kCold;
  bool used = false;  // a call ran in it
  Link<Sandbox> on_shelf, in_family, in_version;
};

// The idle sandboxes that can stand in for each other: those of one version, or the generic ones
// of one key. The front idles longest.
struct Shelf {
  uint64_t id = 0;
  Version* version = nullptr;  // exactly one of these two is set
  Generics* generics = nullptr;
  List<Sandbox, &Sandbox::on_shelf> idle;
  uint32_t kept = 0;  // so many do not expire and are evicted last
  Backoff backoff;
  Time wake_at = Time::max();  // when tick looks at it again
  bool in_upkeep = false;

  struct Place {
    int rank = 0;  // 0 generic, 1 more than kept, 2 kept
    double worth = 0;
    uint64_t id = 0;
    auto operator<=>(const Place&) const = default;
  };
  std::optional<Place> place;  // in the eviction order
};

// The generic sandboxes of one key.
struct Generics {
  std::string key;
  Shelf shelf;
  uint32_t versions = 0;   // that can start from them
  uint32_t sandboxes = 0;  // not yet specialised; those being destroyed included
  uint32_t building = 0;
  Time last_active{};
};

// All versions of (tenant, name): what concurrency_max counts over.
struct Family {
  std::string key;
  uint32_t versions = 0;
  uint32_t sandboxes = 0;  // those being destroyed included
  uint32_t stopping = 0;
  List<Sandbox, &Sandbox::in_family> idle;
  std::map<uint32_t, Version*> waiting;  // versions that have waiting calls
};

// What a version's waiting calls need, so far as the version itself allows it.
enum class Want : uint8_t {
  kNothing,  // no call waits, or those that do are covered
  kTurn,     // a ready sandbox is there; the tenant runs as many calls as it may
  kFirst,    // a sandbox, and none of it serves or is being started
  kMore,     // one more sandbox
};

struct Version {
  FunctionId id{};
  Function spec;
  Tenant* tenant = nullptr;
  Family* family = nullptr;
  Generics* generics = nullptr;  // null: it starts from nothing
  Shelf shelf;
  Census sandboxes;
  List<Sandbox, &Sandbox::in_version> members;
  List<Call, &Call::in_version> waiting;
  uint32_t calls = 0;  // waiting or running
  bool retired = false;
  bool start_refused = false;  // its last start failed for a reason that the next will share
  ArrivalHistory arrivals;
  Depths depths;
  MeanDuration run, recycle, start;
  Time queued_since{};  // without a break, or since the last start that calls caused
  Want want = Want::kNothing;
  uint64_t want_number = 0;  // of the call that has waited longest, when the want was noted
};

struct Tenant {
  std::string name;
  uint64_t number = 0;
  TenantLimits limits;
  bool removed = false;
  uint32_t versions = 0;
  uint32_t running = 0;            // calls
  uint32_t starting = 0;           // sandboxes
  uint64_t busy_memory_bytes = 0;  // of sandboxes that neither idle nor stop
  uint32_t busy_sandboxes = 0;
  List<Call, &Call::in_tenant> waiting;
  // Versions by the number of the call that has waited longest; indexed by Want.
  std::array<std::map<uint64_t, Version*>, 4> wants;
  uint64_t used = 0;           // memory-time by weight: the least is served first
  uint32_t active_weight = 0;  // its weight while it has calls or busy sandboxes, else 0
  bool queued = false;         // has a place in the fair order
  uint64_t queued_used = 0;    // that place
};

}  // namespace hearth::pool
