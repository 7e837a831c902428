// SPDX-License-Identifier: Apache-2.0
#include "pool/state.h"

// Which waiting calls get a sandbox started, and what makes room for it.
namespace hearth::pool {

namespace {

// After so long, a call that waits for a sandbox comes before younger calls of its own tenant that
// have theirs. Sooner, and two functions that take turns would start a sandbox for every call.
constexpr Duration kPatience = std::chrono::milliseconds(250);
constexpr int kStartsPerTurn = 2;
constexpr Duration kStartCostUnknown = std::chrono::milliseconds(100);
// How far behind the first in order somebody is looked for who fits where the first does not.
constexpr size_t kTenantsBehind = 16;
constexpr size_t kSiblingsBehind = 4;

Room room_for(const Version& version, const Sandbox* base) {
  const uint64_t memory = version.spec.memory_bytes;
  if (!base) return {memory, 1};
  return {memory - std::min(memory, base->memory_bytes), 0};
}

Sandbox* idle_base(const Version& version) {
  return version.generics ? version.generics->shelf.idle.back() : nullptr;
}

}  // namespace

void Pool::State::settle(Version& version) {
  note(version);
  for (const auto& [id, other] : version.family->waiting) {
    note(*other);
    free_family_slot(*other);
  }
  take_turns(*version.tenant);
  start_for_calls();
  upkeep();
}

void Pool::State::note(Version& version) {
  order.place(version, want_of(version));
  order.update(*version.tenant);
}

// A burst queues before it spawns: a sandbox is wanted only for calls that no starting sandbox will
// serve, and only if a start is expected to take less time than the queue.
Want Pool::State::want_of(Version& version) {
  if (version.waiting.empty()) return Want::kNothing;
  const Census& census = version.sandboxes;
  const Backoff& backoff = version.shelf.backoff;
  if (census[Phase::kReady] > 0) return Want::kTurn;
  if (version.waiting.size() <= census.starting()) return Want::kNothing;
  if (backoff.blocks(now)) {
    wake_at(version.shelf, backoff.until());
    return Want::kNothing;
  }
  if (backoff.probing() && census.starting() > 0) return Want::kNothing;
  if (version.family->sandboxes >= version.spec.concurrency_max) return Want::kNothing;
  if (queueing_is_quicker(version)) return Want::kNothing;
  return serving(version) + census.starting() == 0 ? Want::kFirst : Want::kMore;
}

bool Pool::State::queueing_is_quicker(Version& version) {
  const uint32_t served_by = serving(version);
  if (served_by == 0 || !version.run.known() || !version.start.known()) return false;
  const Duration start_cost = version.start.or_else({});
  const Time given_up = version.waiting.front()->arrived + start_cost;
  if (given_up <= now) return false;  // it was expected to be quicker and was not
  // Each call waits for less than a start, but one behind the other for longer: no burst any more.
  const Time lasting = version.queued_since + start_cost;
  if (lasting <= now) return false;
  const uint32_t uncovered = version.waiting.size() - version.sandboxes.starting();
  const Duration cycle = version.run.or_else({}) + version.recycle.or_else({});
  if (cycle * uncovered / served_by >= start_cost) return false;
  wake_at(version.shelf, std::min(given_up, lasting));
  return true;
}

// A version whose calls wait takes the place of an idle sandbox of another version.
void Pool::State::free_family_slot(Version& version) {
  Family& family = *version.family;
  const uint32_t starting = version.sandboxes.starting();
  if (version.sandboxes[Phase::kReady] > 0 || version.waiting.size() <= starting) return;
  if (family.sandboxes < version.spec.concurrency_max || family.idle.empty()) return;
  if (family.stopping >= version.waiting.size() - starting) return;
  Sandbox& oldest = *family.idle.front();
  if (oldest.version->waiting.empty()) destroy(oldest);
}

void Pool::State::take_turns(Tenant& tenant) {
  const auto& turns = tenant.wants[static_cast<size_t>(Want::kTurn)];
  while (tenant.running < tenant.limits.concurrency_max && !turns.empty()) {
    Version& version = *turns.begin()->second;
    assign(*version.waiting.front(), *version.shelf.idle.back());
  }
}

void Pool::State::start_for_calls() {
  while (books.census().starting() < limits.starts_at_once_max) {
    Version* head = order.first();
    if (!head) return;
    const Attempt attempted = attempt(*head);
    if (attempted == Attempt::kComing) return;
    if (attempted == Attempt::kBlocked && !start_one_behind(*head)) return;
  }
}

// The first in order must wait for sandboxes that run. Who is behind may go first if it stays
// within its tenant's share of the host, so that nobody waits for the sake of a tenant that wants
// more than its own. Younger calls of the same tenant may go while the first is not impatient.
bool Pool::State::start_one_behind(Version& head) {
  std::vector<Version*> behind;
  if (now - head.waiting.front()->arrived < kPatience) {
    behind = FairOrder::siblings(head, kSiblingsBehind);
  }
  for (Version* version : order.behind_first(kTenantsBehind)) behind.push_back(version);
  for (Version* version : behind) {
    const Room room = room_for(*version, nullptr);
    if (version->tenant != head.tenant &&
        order.beyond_share(*version->tenant, limits, room.memory_bytes, room.sandboxes)) {
      continue;
    }
    const Attempt attempted = attempt(*version);
    if (attempted != Attempt::kBlocked) return attempted == Attempt::kStarted;
  }
  return false;
}

Pool::State::Attempt Pool::State::attempt(Version& version) {
  Sandbox* base = idle_base(version);
  Room room = room_for(version, base);
  const Shelf* spared = base ? &version.generics->shelf : nullptr;
  if (base && !books.fits_evicting(room, spared)) {
    // The generic sandboxes themselves are in the way.
    base = nullptr;
    spared = nullptr;
    room = room_for(version, nullptr);
  }
  if (books.fits(room)) {
    start(version, base, Cause::kCalls);
    return Attempt::kStarted;
  }
  if (!books.fits_evicting(room, spared)) return Attempt::kBlocked;
  while (!books.fits_soon(room)) {
    Sandbox& victim = *books.eviction().first(spared);
    books.eviction().evicted(victim);
    destroy(victim);
  }
  return Attempt::kComing;
}

void Pool::State::start(Version& version, Sandbox* base, Cause cause) {
  const Start first = base ? Start::kGeneric : Start::kCold;
  Generics* generics_used = base ? base->generics : nullptr;
  if (base) {
    books.specialise(*base, version, now);
    out.emplace_back(Specialise{base->id, version.id});
  } else {
    base = &books.open(&version, nullptr, now);
    out.emplace_back(Create{base->id, version.id, version.spec.generic_key});
  }
  base->first_start = cause == Cause::kCalls ? first : Start::kWarm;
  if (cause == Cause::kCalls) {
    version.queued_since = now;
    order.charge(*version.tenant, version.spec.memory_bytes,
                 version.start.or_else(kStartCostUnknown));
  }
  note(version);
  for (const auto& [id, other] : version.family->waiting) note(*other);
  if (generics_used) need_upkeep(generics_used->shelf);
}

// Whether a sandbox of the version that has just become free must go instead of serving again,
// because somebody waits for room who comes first.
bool Pool::State::must_yield(const Version& version) const {
  if (must_yield_to_family(version)) return true;
  const Version* head = order.first();
  if (!head || head == &version) return false;
  const Sandbox* base = idle_base(*head);
  const Room room = room_for(*head, base);
  if (books.fits_soon(room)) return false;
  if (books.fits_evicting(room, base ? &head->generics->shelf : nullptr)) return false;
  if (version.waiting.empty()) return true;  // it would idle, and be evicted for the other
  if (head->tenant == version.tenant) return older_and_patient(*head, version);
  if (!order.beyond_share(*version.tenant, limits, 0, 0)) return false;
  // The lead that makes them change places is worth a few starts: smaller, and two tenants that
  // flood the host would start a sandbox for every call.
  const Duration lead = head->start.or_else(kStartCostUnknown) * kStartsPerTurn;
  return head->tenant->used + FairOrder::amount(*version.tenant, head->spec.memory_bytes, lead) <
         version.tenant->used;
}

bool Pool::State::must_yield_to_family(const Version& version) const {
  const Family& family = *version.family;
  for (const auto& [id, other] : family.waiting) {
    if (other == &version || serving(*other) + other->sandboxes.starting() > 0) continue;
    if (family.sandboxes - family.stopping < other->spec.concurrency_max) continue;
    if (version.waiting.empty() || older_and_patient(*other, version)) return true;
  }
  return false;
}

bool Pool::State::older_and_patient(const Version& waiter, const Version& version) const {
  const Call& waiting = *waiter.waiting.front();
  return waiting.number < version.waiting.front()->number && now - waiting.arrived >= kPatience;
}

}  // namespace hearth::pool
