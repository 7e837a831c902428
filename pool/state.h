// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <queue>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "pool/books.h"
#include "pool/entities.h"
#include "pool/fair_queue.h"
#include "pool/pool.h"

namespace hearth::pool {

// Joins the parts. Each event of pool.cc changes what it is about, then calls `settle`, which
// hands ready sandboxes to waiting calls, starts sandboxes for the others, and last the ones that
// are kept without calls. Every decision ends in `out`, in order.
struct Pool::State {
  explicit State(Limits limits);

  Limits limits;
  Books books{limits};
  WaitingRoom waiting_room;
  FairOrder order;

  std::unordered_map<std::string, Tenant> tenants;
  std::unordered_map<std::string, Family> families;
  std::unordered_map<std::string, Generics> generics;
  std::unordered_map<FunctionId, Version> versions;
  std::unordered_map<CallId, Call> calls;
  std::unordered_map<uint64_t, Shelf*> shelves;
  uint64_t last_shelf = 0, last_tenant = 0, last_call = 0;
  uint32_t running = 0;  // calls
  bool draining = false;
  std::vector<std::string> changed_tenants;  // whose new limits the next tick acts on
  Time now{};                                // never goes back
  Actions out;

  void at(Time time) { now = std::max(now, time); }
  Actions take() { return std::exchange(out, {}); }

  // what_exists.cc
  Version* find(FunctionId id);
  Tenant& tenant_named(const std::string& name);
  void add(FunctionId id, Function function);
  void retire(Version& version);
  void forget_if_done(Version& version);
  void forget_if_done(Generics& generics);
  void forget_if_done(Tenant& tenant);

  // calls.cc
  void arrive(CallId id, Version& version);
  bool make_room_to_wait(CallId id, Version& version);
  void wait(Call& call);
  void assign(Call& call, Sandbox& sandbox);
  void finish(Call& call, Finish finish);
  void end_run(Call& call);
  void cancel(Call& call);
  void refuse(CallId id, Refusal why, uint64_t limit, Duration retry_after);
  void refuse_waiting(Call& call, Refusal why, uint64_t limit, Duration retry_after);
  void refuse_all_waiting(Version& version, Refusal why, Duration retry_after);
  Duration queue_time(const Version& version) const;

  // sandboxes.cc
  uint32_t serving(const Version& version) const;
  void move(Sandbox& sandbox, Phase phase);
  void destroy(Sandbox& sandbox);
  void destroy_idle(Shelf& shelf);
  void ready(Sandbox& sandbox);
  void gone(Sandbox& sandbox);
  void start_lost(Version& version);
  void fail_start(Sandbox& sandbox);

  // starts.cc
  enum class Attempt {
    kStarted,
    kComing,   // idle sandboxes are being destroyed for it
    kBlocked,  // only sandboxes that run could make room
  };
  void settle(Version& version);  // after any event about this version
  void note(Version& version);
  Want want_of(Version& version);
  bool queueing_is_quicker(Version& version);
  void free_family_slot(Version& version);
  void take_turns(Tenant& tenant);
  void start_for_calls();
  bool start_one_behind(Version& head);
  Attempt attempt(Version& version);
  enum class Cause { kCalls, kUpkeep };
  void start(Version& version, Sandbox* base, Cause cause);
  bool must_yield(const Version& version) const;
  bool must_yield_to_family(const Version& version) const;
  bool older_and_patient(const Version& waiter, const Version& version) const;

  // upkeep.cc
  void wake_at(Shelf& shelf, Time time);
  void wake(Shelf& shelf);
  void expire(Shelf& shelf);
  void refuse_overdue();
  void need_upkeep(Shelf& shelf);
  void upkeep();
  bool lacks(const Shelf& shelf) const;
  bool restock(Shelf& shelf);
  bool room_for_upkeep(const Shelf& shelf, Room room);

  // Shelves to look at in tick, each at most once at its `wake_at`; other entries are void.
  using Wake = std::pair<Time, uint64_t>;
  std::priority_queue<Wake, std::vector<Wake>, std::greater<>> wakes;
  std::deque<uint64_t> upkeep_queue;  // shelves that may lack sandboxes
};

}  // namespace hearth::pool
