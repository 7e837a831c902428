// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/fleet.h"
#include "daemon/ledger/ledger.h"
#include "daemon/ledger/log_store.h"
#include "daemon/loop/task_set.h"
#include "daemon/metrics.h"
#include "daemon/registry/registry.h"
#include "sandbox/disks.h"

namespace hearth::daemon {

// What a call needs of the daemon. Everything outlives every call.
struct Services {
  loop::Loop& loop;
  registry::Registry& registry;
  Fleet& fleet;
  ledger::Ledger& ledger;
  ledger::LogStore& logs;
  Metrics& metrics;
  loop::TaskSet& unattended;  // calls whose client went away, for the moment that they get to end
  sandbox::LimitsMode limits = sandbox::LimitsMode::kStrict;
  sandbox::Disks disks;  // whose reads can be limited
  ledger::Durability durability = ledger::Durability::kProcess;
  uint64_t log_bytes_kill = 64u << 20;  // a call that writes more log than this is ended
  bool draining = false;  // a stop has begun: what was asked is answered, streams end
};

struct Call {
  ledger::Ulid id;
  std::string tenant, function;
  ledger::Trigger trigger = ledger::Trigger::kCli;
  std::string meta;         // the trigger's part of the call frame's meta
  std::string_view body;    // borrowed until the invocation's task is done
  std::string_view method;  // by HTTP, checked against the manifest's list
  // The request as NAME=VALUE: asked for an exec function with http_env, no other needs it.
  std::function<std::vector<std::string>()> environment;
  Clock::time_point received = Clock::now();
  uint64_t received_at_us = 0;  // Unix
};

// Why a call was refused or failed, in the words of the API.
struct CallError {
  int status = 500;
  std::string kind, stage, message, limit, value;
  std::string type, stack;  // the function's own error
  std::optional<std::chrono::milliseconds> retry_after;
};

struct Answer {
  std::optional<CallError> error;
  std::string meta, body;                // the reply
  std::optional<ledger::Record> record;  // absent: the call never reached a sandbox
};

// One call from look-up to record. Destroying the task (the client went away) cancels the call and
// records it so: its processes are killed, at once or, where they could serve again, after the
// moment that they get to end the call by themselves (as long as the code took to load, between 100
// ms and 1 s).
loop::Task<Answer> invoke(Services& services, Call call);

}  // namespace hearth::daemon
