// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <variant>

#include "daemon/loop/event.h"
#include "daemon/loop/loop.h"
#include "daemon/loop/poll.h"
#include "daemon/loop/task.h"
#include "sandbox/spawner_client.h"

namespace hearth::daemon {

// The spawner's answers as awaitables. Any number of requests may be under way; one per sandbox at
// a time.
class Spawner {
 public:
  // `lost` is called once when hearth-spawner is gone: without it hearthd cannot go on.
  Spawner(loop::Loop& loop, sandbox::SpawnerClient& client, std::function<void()> lost);

  // A create whose caller is cancelled still ends: the sandbox made for nobody is killed and
  // removed.
  loop::Task<std::variant<sandbox::Descriptors, sandbox::Failure>> create(sandbox::Spec spec);
  loop::Task<std::optional<sandbox::Failure>> specialise(uint64_t id, std::string bundle,
                                                         sandbox::Limits limits,
                                                         std::string function);
  loop::Task<std::optional<sandbox::Failure>> remove(uint64_t id);
  // Its processes have been killed: they do not wait for their turn to read.
  void hurry(uint64_t id);
  void discard(uint64_t id);  // remove without waiting for the answer
  loop::Task<std::optional<sandbox::Failure>> prune(std::string tenant, std::string function);

 private:
  struct Pending {
    explicit Pending(loop::Loop& loop) : done(loop) {}
    loop::Event done;
    std::optional<sandbox::Answer> answer;
  };
  class Registration;

  void pump();
  void deliver(sandbox::Answer answer);
  void flush_later();
  loop::Task<sandbox::Answer> answer_to(uint64_t id);

  loop::Loop& loop_;
  sandbox::SpawnerClient& client_;
  std::function<void()> lost_;
  std::unordered_map<uint64_t, Pending*> pending_;
  uint64_t next_request_ = uint64_t{1} << 63;  // for requests that name no sandbox
  loop::Poll poll_;
};

}  // namespace hearth::daemon
