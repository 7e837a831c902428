// SPDX-License-Identifier: Apache-2.0
#include "pool/fair_queue.h"

#include <algorithm>

namespace hearth::pool {

namespace {

std::map<uint64_t, Version*>& wants(Tenant& tenant, Want want) {
  return tenant.wants[static_cast<size_t>(want)];
}

const std::map<uint64_t, Version*>& wants(const Tenant& tenant, Want want) {
  return tenant.wants[static_cast<size_t>(want)];
}

}  // namespace

// WaitingRoom -------------------------------------------------------------------------------------

WaitingRoom::Load WaitingRoom::load(const Tenant& tenant, uint32_t more) {
  return {static_cast<double>(tenant.waiting.size() + more) / tenant.limits.weight, tenant.number};
}

void WaitingRoom::enter(Call& call) {
  Version& version = *call.version;
  Tenant& tenant = *version.tenant;
  if (!tenant.waiting.empty()) loads_.erase(load(tenant));
  if (version.waiting.empty()) {
    version.family->waiting.emplace(static_cast<uint32_t>(version.id), &version);
  }
  calls_.push_back(call);
  tenant.waiting.push_back(call);
  version.waiting.push_back(call);
  loads_.emplace(load(tenant), &tenant);
}

void WaitingRoom::leave(Call& call) {
  Version& version = *call.version;
  Tenant& tenant = *version.tenant;
  loads_.erase(load(tenant));
  calls_.remove(call);
  tenant.waiting.remove(call);
  version.waiting.remove(call);
  if (version.waiting.empty()) {
    version.family->waiting.erase(static_cast<uint32_t>(version.id));
  }
  if (!tenant.waiting.empty()) loads_.emplace(load(tenant), &tenant);
}

Call* WaitingRoom::displaced_by(const Tenant& tenant) const {
  if (loads_.empty()) return nullptr;
  const auto& [heaviest, owner] = *loads_.rbegin();
  return owner != &tenant && heaviest.first > load(tenant, 1).first ? owner->waiting.back()
                                                                    : nullptr;
}

void WaitingRoom::set_limits(Tenant& tenant, TenantLimits limits) {
  if (!tenant.waiting.empty()) loads_.erase(load(tenant));
  tenant.limits = limits;
  if (!tenant.waiting.empty()) loads_.emplace(load(tenant), &tenant);
}

// FairOrder ---------------------------------------------------------------------------------------

void FairOrder::place(Version& version, Want want) {
  const uint64_t number = want == Want::kNothing ? 0 : version.waiting.front()->number;
  if (want == version.want && number == version.want_number) return;
  Tenant& tenant = *version.tenant;
  if (version.want != Want::kNothing) wants(tenant, version.want).erase(version.want_number);
  if (want != Want::kNothing) wants(tenant, want).emplace(number, &version);
  version.want = want;
  version.want_number = number;
}

// A version that has no sandbox may get one while the tenant runs all the calls that it may:
// else the tenant's other versions, which have theirs, would take every turn. How many get so
// far ahead is bounded by the tenant's concurrency too.
bool FairOrder::may_start_first(const Tenant& tenant) {
  return !wants(tenant, Want::kFirst).empty() &&
         tenant.starting + wants(tenant, Want::kTurn).size() < tenant.limits.concurrency_max;
}

bool FairOrder::may_start_more(const Tenant& tenant) {
  return !wants(tenant, Want::kMore).empty() &&
         tenant.running + tenant.starting < tenant.limits.concurrency_max;
}

Version* FairOrder::first_of(const Tenant& tenant) {
  const auto& first = wants(tenant, Want::kFirst);
  const auto& more = wants(tenant, Want::kMore);
  if (!may_start_more(tenant)) return may_start_first(tenant) ? first.begin()->second : nullptr;
  if (!may_start_first(tenant)) return more.begin()->second;
  return std::min(*first.begin(), *more.begin()).second;
}

void FairOrder::update(Tenant& tenant) {
  const bool active = !tenant.waiting.empty() || tenant.running > 0 || tenant.busy_sandboxes > 0;
  if (active && tenant.active_weight == 0) tenant.used = std::max(tenant.used, level_);
  const uint32_t active_weight = active ? tenant.limits.weight : 0;
  active_weight_ = active_weight_ - tenant.active_weight + active_weight;
  tenant.active_weight = active_weight;
  const bool queued = may_start_first(tenant) || may_start_more(tenant);
  if (queued == tenant.queued && (!queued || tenant.queued_used == tenant.used)) return;
  if (tenant.queued) queue_.erase({tenant.queued_used, tenant.number});
  if (queued) queue_.emplace(std::pair(tenant.used, tenant.number), &tenant);
  tenant.queued = queued;
  tenant.queued_used = tenant.used;
}

void FairOrder::remove(Tenant& tenant) {
  if (tenant.queued) queue_.erase({tenant.queued_used, tenant.number});
  active_weight_ -= tenant.active_weight;
}

uint64_t FairOrder::amount(const Tenant& tenant, uint64_t memory_bytes, Duration time) {
  const uint64_t mebibytes = std::max<uint64_t>(memory_bytes >> 20, 1);
  const uint64_t microseconds = static_cast<uint64_t>(std::max<int64_t>(time.count(), 1));
  return std::max<uint64_t>(mebibytes * microseconds / tenant.limits.weight, 1);
}

uint64_t FairOrder::charge(Tenant& tenant, uint64_t memory_bytes, Duration time) {
  const uint64_t charged = amount(tenant, memory_bytes, time);
  level_ = std::max(level_, tenant.used);
  tenant.used += charged;
  return charged;
}

void FairOrder::settle(Tenant& tenant, uint64_t charged, uint64_t memory_bytes, Duration time) {
  tenant.used = tenant.used - std::min(charged, tenant.used) + amount(tenant, memory_bytes, time);
}

Version* FairOrder::first() const {
  return queue_.empty() ? nullptr : first_of(*queue_.begin()->second);
}

std::vector<Version*> FairOrder::behind_first(size_t n) const {
  std::vector<Version*> versions;
  auto it = queue_.begin();
  if (it != queue_.end()) ++it;
  for (; it != queue_.end() && versions.size() < n; ++it) {
    versions.push_back(first_of(*it->second));
  }
  return versions;
}

std::vector<Version*> FairOrder::siblings(const Version& version, size_t n) {
  std::vector<Version*> versions;
  const auto& same = wants(*version.tenant, version.want);
  for (auto it = same.upper_bound(version.want_number); it != same.end() && versions.size() < n;
       ++it) {
    versions.push_back(it->second);
  }
  return versions;
}

bool FairOrder::beyond_share(const Tenant& tenant, const Limits& limits, uint64_t memory_bytes,
                             uint32_t sandboxes) const {
  const double share = static_cast<double>(tenant.limits.weight) /
                       static_cast<double>(std::max<uint64_t>(active_weight_, 1));
  const double memory = static_cast<double>(tenant.busy_memory_bytes + memory_bytes);
  const double count = static_cast<double>(tenant.busy_sandboxes + sandboxes);
  return memory > share * static_cast<double>(limits.memory_bytes_max) ||
         count > share * limits.sandboxes_max;
}

}  // namespace hearth::pool
