// SPDX-License-Identifier: Apache-2.0
#include "pool/books.h"

namespace hearth::pool {

namespace {

constexpr Duration kStartCostUnknown = std::chrono::milliseconds(100);

bool idles(Phase phase) {
  return phase == Phase::kReady || phase == Phase::kGeneric;
}

Shelf& shelf_of(Sandbox& sandbox) {
  return sandbox.version ? sandbox.version->shelf : sandbox.generics->shelf;
}

// Adds one to or takes one from a counter.
void step(uint32_t& counter, int by) {
  counter += static_cast<uint32_t>(by);
}

}  // namespace

Sandbox& Books::open(Version* version, Generics* generics, Time now) {
  const SandboxId id{++last_id_};
  Sandbox& sandbox = sandboxes_[id];
  sandbox.id = id;
  sandbox.version = version;
  sandbox.generics = generics;
  sandbox.since = now;
  sandbox.memory_bytes = version ? version->spec.memory_bytes : limits_.generic_memory_bytes;
  if (version) version->members.push_back(sandbox);
  count(sandbox, 1);
  assert(fits({}));
  return sandbox;
}

void Books::specialise(Sandbox& sandbox, Version& version, Time now) {
  assert(sandbox.phase == Phase::kGeneric);
  unshelve(sandbox);
  count(sandbox, -1);
  sandbox.generics = nullptr;
  sandbox.version = &version;
  version.members.push_back(sandbox);
  sandbox.memory_bytes = version.spec.memory_bytes;
  sandbox.phase = Phase::kSpecialising;
  sandbox.since = now;
  count(sandbox, 1);
  assert(fits({}));
}

void Books::move(Sandbox& sandbox, Phase phase, Time now) {
  unshelve(sandbox);
  count(sandbox, -1);
  sandbox.phase = phase;
  sandbox.since = now;
  count(sandbox, 1);
  shelve(sandbox, now);
}

void Books::close(SandboxId id) {
  Sandbox& sandbox = sandboxes_.at(id);
  unshelve(sandbox);
  count(sandbox, -1);
  if (sandbox.version) sandbox.version->members.remove(sandbox);
  sandboxes_.erase(id);
}

Sandbox* Books::find(SandboxId id) {
  const auto it = sandboxes_.find(id);
  return it == sandboxes_.end() ? nullptr : &it->second;
}

// Adds the sandbox to every counter that its phase and owner say, or takes it out of them.
void Books::count(Sandbox& sandbox, int by) {
  const Phase phase = sandbox.phase;
  const uint64_t memory = by > 0 ? sandbox.memory_bytes : uint64_t{0} - sandbox.memory_bytes;
  const bool starting = phase == Phase::kBuilding || phase == Phase::kSpecialising;
  step(census_[phase], by);
  memory_bytes_ += memory;
  if (idles(phase)) idle_memory_bytes_ += memory;
  if (phase == Phase::kStopping) stopping_memory_bytes_ += memory;
  if (sandbox.generics) {
    step(sandbox.generics->sandboxes, by);
    if (phase != Phase::kStopping) step(generics_, by);
    if (phase == Phase::kBuilding) step(sandbox.generics->building, by);
    return;
  }
  Tenant& tenant = *sandbox.version->tenant;
  step(sandbox.version->sandboxes[phase], by);
  step(sandbox.version->family->sandboxes, by);
  if (phase == Phase::kStopping) step(sandbox.version->family->stopping, by);
  if (starting) step(tenant.starting, by);
  if (!idles(phase) && phase != Phase::kStopping) {
    step(tenant.busy_sandboxes, by);
    tenant.busy_memory_bytes += memory;
  }
}

void Books::shelve(Sandbox& sandbox, Time now) {
  if (!idles(sandbox.phase)) return;
  double calls_lately = 0;
  Duration start_cost = kStartCostUnknown;
  if (Version* version = sandbox.version) {
    version->family->idle.push_back(sandbox);
    calls_lately = version->arrivals.frequency(now);
    start_cost = version->start.or_else(start_cost);
  }
  sandbox.worth = eviction_.worth(calls_lately, start_cost, sandbox.memory_bytes);
  Shelf& shelf = shelf_of(sandbox);
  shelf.idle.push_back(sandbox);
  eviction_.update(shelf);
}

void Books::unshelve(Sandbox& sandbox) {
  if (!sandbox.on_shelf.linked) return;
  Shelf& shelf = shelf_of(sandbox);
  shelf.idle.remove(sandbox);
  eviction_.update(shelf);
  if (sandbox.version) sandbox.version->family->idle.remove(sandbox);
}

bool Books::within(uint64_t memory_bytes, uint64_t sandboxes, Room room) const {
  return room.memory_bytes <= limits_.memory_bytes_max &&
         memory_bytes <= limits_.memory_bytes_max - room.memory_bytes &&
         sandboxes + room.sandboxes <= limits_.sandboxes_max;
}

bool Books::fits(Room room) const {
  return within(memory_bytes_, census_.all(), room);
}

bool Books::fits_soon(Room room) const {
  return within(memory_bytes_ - stopping_memory_bytes_, census_.alive(), room);
}

bool Books::fits_evicting(Room room, const Shelf* spared) const {
  const uint32_t idle = census_[Phase::kReady] + census_[Phase::kGeneric];
  const uint32_t kept = spared ? spared->idle.size() : 0;
  const uint64_t kept_bytes = kept * limits_.generic_memory_bytes;
  return within(memory_bytes_ - stopping_memory_bytes_ - idle_memory_bytes_ + kept_bytes,
                census_.alive() - idle + kept, room);
}

}  // namespace hearth::pool
