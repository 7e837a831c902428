// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>

#include "daemon/options.h"
#include "sandbox/disks.h"
#include "sandbox/spawner_client.h"
#include "sandbox/sys/fd.h"

// What hearthd does as root before it gives root up, in the order of the functions here. Each
// throws sys::Error.
namespace hearth::daemon {

struct Identity {
  uid_t uid = 0;
  gid_t gid = 0;
  gid_t admin_gid = 0;  // owns the management socket
};

// The user of the configuration; says how to make it when it is missing.
Identity find_identity(const Config& config);

// Makes the state and runtime folders, owned by the identity; locks the state so that two daemons
// never share it. The lock lives as long as the descriptor.
sys::Fd prepare_folders(const Config& config, const Identity& identity);

// The cgroup base (moves this process into its leaf) and the spawner.
std::string prepare_cgroups(const Config& config);

// The disks whose reads can be limited, or why they cannot be. Throws when the configuration bounds
// them, limits are strict and they cannot be: nothing is pretended.
sandbox::Disks find_disks(const Options& options, const std::string& cgroup_base);

std::unique_ptr<sandbox::SpawnerClient> start_spawner(const Options& options,
                                                      const std::string& cgroup_base,
                                                      const sandbox::Disks& disks);

// Becomes the identity, with no capability in any set and no way back.
void drop_privileges(const Identity& identity);

}  // namespace hearth::daemon
