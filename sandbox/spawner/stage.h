// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "sandbox/policy.h"
#include "sandbox/sys/fd.h"

// The spawner's own root: a small mount namespace that holds only what sandboxes are made of, so
// that a copy of it is cheap and contains nothing of the host that a sandbox could be left with.
//
//   /proc      the host's, for id maps; it must be visible where a sandbox mounts its own
//   /state     the state folder     /runtimes   the runtimes folder     both read-only
//   /dev       template of a sandbox' /dev: real nodes on a read-only tmpfs, shared by all
//   /images/N  image N with its /dev and /var/runtime in place, read-only (images.h)
//   /box       where a sandbox under construction attaches its root, each in its own namespace
//
// Because the read-only flags are set here, in the host's user namespace, they are locked in every
// sandbox' copy.
namespace hearth::sandbox::spawner {

inline constexpr const char* kProc = "/proc";
inline constexpr const char* kState = "/state";
inline constexpr const char* kRuntimes = "/runtimes";
inline constexpr const char* kDev = "/dev";
inline constexpr const char* kImages = "/images";
inline constexpr const char* kHostImage = "/images/host";
inline constexpr const char* kBox = "/box";

// Unshares the mount namespace and changes the root. Needs every capability; throws sys::Error.
void enter_stage(const SpawnerPolicy& policy);

// hearth-init as a descriptor to execute, on a read-only mount of its own. Before enter_stage.
sys::Fd open_init(const std::string& path);

}  // namespace hearth::sandbox::spawner
