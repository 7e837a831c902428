// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <unordered_map>

#include "pool/entities.h"
#include "pool/eviction.h"

namespace hearth::pool {

// What a start would take of the host.
struct Room {
  uint64_t memory_bytes = 0;
  uint32_t sandboxes = 0;
};

// Every sandbox and every counter that follows from their phases. A sandbox's phase changes
// nowhere else, so that no capacity is counted twice or given back twice.
class Books {
 public:
  explicit Books(const Limits& limits) : limits_(limits) {}

  // Either of version and generics is null. The caller has seen that it fits.
  Sandbox& open(Version* version, Generics* generics, Time now);
  void specialise(Sandbox& sandbox, Version& version, Time now);
  void move(Sandbox& sandbox, Phase phase, Time now);
  void close(SandboxId id);
  Sandbox* find(SandboxId id);

  const Census& census() const { return census_; }
  uint64_t memory_bytes() const { return memory_bytes_; }
  uint32_t generics() const { return generics_; }  // idle or being built
  const std::unordered_map<SandboxId, Sandbox>& all() const { return sandboxes_; }

  bool fits(Room room) const;       // now
  bool fits_soon(Room room) const;  // once all that stop are gone
  // If every idle sandbox were evicted but those of `spared`.
  bool fits_evicting(Room room, const Shelf* spared) const;
  bool fits_ever(uint64_t memory_bytes) const { return memory_bytes <= limits_.memory_bytes_max; }

  EvictionOrder& eviction() { return eviction_; }

 private:
  void count(Sandbox& sandbox, int by);
  void shelve(Sandbox& sandbox, Time now);
  void unshelve(Sandbox& sandbox);
  bool within(uint64_t memory_bytes, uint64_t sandboxes, Room room) const;

  const Limits& limits_;
  std::unordered_map<SandboxId, Sandbox> sandboxes_;
  EvictionOrder eviction_;
  Census census_;
  uint64_t last_id_ = 0;
  uint64_t memory_bytes_ = 0;
  uint64_t idle_memory_bytes_ = 0;
  uint64_t stopping_memory_bytes_ = 0;
  uint32_t generics_ = 0;
};

}  // namespace hearth::pool
