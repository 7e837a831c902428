// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "sandbox/policy.h"
#include "sandbox/spawner/build.h"
#include "sandbox/wire.h"

namespace hearth::sandbox::spawner {

// Hands out blocks of ids, each to one sandbox at a time. A freed block is not the next one given
// out, so that a stray reference to its ids meets nobody for as long as possible.
class IdBlocks {
 public:
  IdBlocks(uint32_t base, uint32_t blocks) : base_(base), used_(blocks) {}
  std::optional<uint32_t> take();  // a block's number
  void give_back(uint32_t block) { used_[block] = false; }
  uint32_t first_id(uint32_t block) const { return base_ + block * kBlockSize; }

 private:
  uint32_t base_, next_ = 0;
  std::vector<bool> used_;
};

// Serves one hearthd: knows every sandbox of this run and checks every request against the policy.
// hearthd is not trusted; what it can do at worst is to make and kill sandboxes of its own.
class Spawner {
 public:
  // On the stage, without privileges but the kept ones. Throws sys::Error.
  Spawner(const SpawnerPolicy& policy, Groups groups, Faults& faults);

  // Until hearthd closes the connection or breaks the protocol; then kills every sandbox. Their
  // cgroups stay: the next run's recovery reads what they used.
  void serve(int socket);

 private:
  struct Sandbox {
    Built built;
    uint32_t block;
    bool generic;
    bool removing = false;
    int remove_tries = 0;
  };
  using Sandboxes = std::unordered_map<uint64_t, Sandbox>;

  bool serve_one(int socket);  // false: the connection is over
  void wait(int socket);
  void handle(const wire::Create& create);
  void handle(const wire::Specialise& specialise);
  void handle(const wire::Remove& remove);
  void handle(const wire::Prune& prune);
  void handle(const wire::Purge& purge);
  void handle(const wire::Kill& kill);
  void continue_removals();
  bool continue_removal(uint64_t id, Sandbox& sandbox);  // true: it is answered
  void kill_all();

  void refuse_limits(const Limits& limits) const;
  Sandbox& find(uint64_t id);
  void answer(const wire::Answer& answer, Descriptors* descriptors = nullptr);
  void done(uint64_t id) { answer(wire::DoneAnswer{id}); }

  SpawnerPolicy policy_;
  Faults& faults_;
  Groups groups_;
  Images images_;
  IdBlocks blocks_;
  Sandboxes sandboxes_;
  std::vector<uint64_t> removals_;  // asked for, not yet answered
  int socket_ = -1;
  bool broken_ = false;  // hearthd cannot be answered any more
};

}  // namespace hearth::sandbox::spawner
