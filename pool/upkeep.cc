// SPDX-License-Identifier: Apache-2.0
#include "pool/state.h"

// What is kept without calls: idle sandboxes for a while, warm_min and generic ones always.
namespace hearth::pool {

namespace {

constexpr size_t kUpkeepAtOnce = 8;  // shelves looked at after one event

}  // namespace

void Pool::State::wake_at(Shelf& shelf, Time time) {
  if (time >= shelf.wake_at) return;
  shelf.wake_at = time;
  wakes.emplace(time, shelf.id);
}

void Pool::State::wake(Shelf& shelf) {
  shelf.wake_at = Time::max();
  expire(shelf);
  need_upkeep(shelf);
  if (shelf.version) settle(*shelf.version);
}

void Pool::State::expire(Shelf& shelf) {
  if (shelf.generics) {
    const Time expiry = shelf.generics->last_active + limits.generic_idle;
    while (expiry <= now && !shelf.idle.empty()) destroy_idle(shelf);
    if (!shelf.idle.empty()) wake_at(shelf, expiry);
    return;
  }
  if (shelf.idle.size() <= shelf.kept) return;
  const Duration window = shelf.version->arrivals.window(limits.idle_min, limits.idle_max);
  while (shelf.idle.size() > shelf.kept && shelf.idle.front()->since + window <= now) {
    destroy_idle(shelf);
  }
  if (shelf.idle.size() > shelf.kept) wake_at(shelf, shelf.idle.front()->since + window);
}

void Pool::State::refuse_overdue() {
  const auto limit_ms = std::chrono::duration_cast<std::chrono::milliseconds>(limits.wait_max);
  while (Call* call = waiting_room.oldest()) {
    if (call->arrived + limits.wait_max > now) return;
    const Duration retry_after = queue_time(*call->version);
    refuse_waiting(*call, Refusal::kWaitedTooLong, static_cast<uint64_t>(limit_ms.count()),
                   retry_after);
  }
}

void Pool::State::need_upkeep(Shelf& shelf) {
  if (shelf.in_upkeep || !lacks(shelf)) return;
  shelf.in_upkeep = true;
  upkeep_queue.push_back(shelf.id);
}

// Whether the shelf's owner has fewer sandboxes than it is to have without calls.
bool Pool::State::lacks(const Shelf& shelf) const {
  if (draining) return false;
  if (const Generics* base = shelf.generics) {
    return base->versions > 0 && now < base->last_active + limits.generic_idle &&
           shelf.idle.size() + base->building < limits.generic_per_key;
  }
  const Version& version = *shelf.version;
  if (version.retired) return false;
  const Census& census = version.sandboxes;
  if (version.spec.reuse != Reuse::kNever) return census.alive() < version.spec.warm_min;
  // A sandbox that serves once is replaced as soon as it is taken, not when it is gone.
  const uint32_t taken = census[Phase::kRunning] + census[Phase::kStopping];
  return census[Phase::kReady] + census.starting() < std::max(version.spec.warm_min, taken);
}

// Starts what is lacking, in turn, with room that no waiting call wants; a part of the
// starts is left to calls that arrive meanwhile.
void Pool::State::upkeep() {
  const uint32_t starts_max = std::max(limits.starts_at_once_max / 2, 1u);
  for (size_t failed = 0; failed < std::min(upkeep_queue.size(), kUpkeepAtOnce);) {
    if (!order.empty() || books.census().starting() >= starts_max) return;
    const auto it = shelves.find(upkeep_queue.front());
    upkeep_queue.pop_front();
    if (it == shelves.end()) continue;
    Shelf& shelf = *it->second;
    shelf.in_upkeep = false;
    if (!lacks(shelf)) continue;
    if (shelf.backoff.blocks(now)) {
      wake_at(shelf, shelf.backoff.until());
      continue;
    }
    if (!restock(shelf)) ++failed;
    need_upkeep(shelf);
  }
}

bool Pool::State::restock(Shelf& shelf) {
  if (Version* version = shelf.version) {
    if (version->family->sandboxes >= version->spec.concurrency_max) return false;
    if (!room_for_upkeep(shelf, {version->spec.memory_bytes, 1})) return false;
    start(*version, nullptr, Cause::kUpkeep);
    return true;
  }
  if (books.generics() >= limits.generic_max) return false;
  if (!room_for_upkeep(shelf, {limits.generic_memory_bytes, 1})) return false;
  const Sandbox& sandbox = books.open(nullptr, shelf.generics, now);
  out.emplace_back(Create{sandbox.id, std::nullopt, shelf.generics->key});
  return true;
}

// Free room is used. Only for warm_min something idle goes, and nothing that was used within
// idle_min: else a function that is called and one that is kept could evict each other in turn.
bool Pool::State::room_for_upkeep(const Shelf& shelf, Room room) {
  if (books.fits(room)) return true;
  if (!shelf.version || shelf.version->sandboxes.alive() >= shelf.version->spec.warm_min) {
    return false;
  }
  if (!books.fits_evicting(room, nullptr) || books.fits_soon(room)) return false;
  Sandbox* victim = books.eviction().first(nullptr);
  const bool kept = victim->version && victim->on_shelf.linked &&
                    victim->version->shelf.idle.size() <= victim->version->shelf.kept;
  if (kept || (victim->version && now - victim->since < limits.idle_min)) return false;
  books.eviction().evicted(*victim);
  destroy(*victim);
  return false;  // once it is gone
}

}  // namespace hearth::pool
