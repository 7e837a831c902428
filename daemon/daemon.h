// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "daemon/listeners.h"
#include "daemon/options.h"
#include "daemon/start_up.h"

namespace hearth::daemon {

// Log lines to journald with their fields when stderr is its stream, else to stderr.
void set_up_log(const Config& config);

// Recovers what the last run left, serves until SIGTERM or SIGINT, drains, and returns the exit
// status. A second signal ends the drain. Throws sys::Error when the state cannot be opened.
int serve(const Options& options, const Identity& identity, sandbox::SpawnerClient& spawner,
          const std::string& cgroup_base, const sandbox::Disks& disks, Listeners listeners);

}  // namespace hearth::daemon
