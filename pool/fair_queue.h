// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <set>
#include <utility>
#include <vector>

#include "pool/entities.h"

namespace hearth::pool {

// The calls that wait: first come, first served in each version. One bound holds for all of them
// together; a tenant that fills it gives way to one that waits less.
class WaitingRoom {
 public:
  void enter(Call& call);
  void leave(Call& call);

  uint32_t size() const { return calls_.size(); }
  Call* oldest() const { return calls_.front(); }
  // The newest call of the tenant that has most calls waiting for its weight, if that is more than
  // `tenant` would have with one more; else null.
  Call* displaced_by(const Tenant& tenant) const;
  // Changes a tenant's weight.
  void set_limits(Tenant& tenant, TenantLimits limits);

 private:
  using Load = std::pair<double, uint64_t>;  // waiting calls by weight; the tenant's number
  static Load load(const Tenant& tenant, uint32_t more = 0);

  List<Call, &Call::in_room> calls_;
  std::map<Load, Tenant*> loads_;
};

// In which order new sandboxes are started: stride scheduling. Each tenant's `used` grows by the
// memory-time that its calls and starts take, divided by its weight; who has used least is
// first, and inside a tenant the call that has waited longest. Who was idle joins at the level of
// those that are being served: idling saves up nothing.
class FairOrder {
 public:
  // Notes what the version's waiting calls need.
  void place(Version& version, Want want);
  // Call it when `running`, `starting`, `limits` or the waiting calls of the tenant changed.
  void update(Tenant& tenant);
  void remove(Tenant& tenant);

  // What so much memory for so long adds to a tenant's `used`.
  static uint64_t amount(const Tenant& tenant, uint64_t memory_bytes, Duration time);
  // Adds what a sandbox of so much memory uses in so long; returns the amount.
  uint64_t charge(Tenant& tenant, uint64_t memory_bytes, Duration time);
  // Replaces an amount charged before by what it really was.
  void settle(Tenant& tenant, uint64_t charged, uint64_t memory_bytes, Duration time);

  bool empty() const { return queue_.empty(); }
  // The version to start a sandbox for; null if there is none.
  Version* first() const;
  // The first versions of the tenants behind the first tenant, at most n.
  std::vector<Version*> behind_first(size_t n) const;
  // The next versions of the same tenant, at most n.
  static std::vector<Version*> siblings(const Version& version, size_t n);

  // Whether the tenant would take more than its weight's share of the host (of all active tenants)
  // if its busy sandboxes used that much more.
  bool beyond_share(const Tenant& tenant, const Limits& limits, uint64_t memory_bytes,
                    uint32_t sandboxes) const;

 private:
  static bool may_start_first(const Tenant& tenant);
  static bool may_start_more(const Tenant& tenant);
  static Version* first_of(const Tenant& tenant);

  std::map<std::pair<uint64_t, uint64_t>, Tenant*> queue_;  // by used, number
  uint64_t level_ = 0;  // the `used` of who was served last; never falls
  uint64_t active_weight_ = 0;
};

}  // namespace hearth::pool
