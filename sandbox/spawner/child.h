// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "sandbox/spawner/faults.h"
#include "sandbox/spec.h"

// What the new process does between clone3 and hearth-init: trusted code, no byte of user code yet.
namespace hearth::sandbox::spawner {

// Descriptors at fixed numbers, in the spawner and so in the process it makes.
inline constexpr int kSocketFd = 3;   // hearthd; in the sandbox: the control socket
inline constexpr int kInitFd = 4;     // hearth-init, to execute
inline constexpr int kSpawnerFd = 5;  // pidfd of the spawner
inline constexpr int kFirstFreeFd = 6;

struct Plan {
  const char* image = nullptr;  // on the stage
  int release_read = -1;        // one byte arrives when the ids are mapped, or end of file
  int release_write = -1;
  int control = -1;
  int bundle = -1;  // unattached mount for /var/task; -1: generic
  Limits limits;
  char tmp_bytes[24], tmp_inodes[24];  // as mount options
  Faults* faults = nullptr;
};

// The mount options that follow from the limits.
void set_tmp_options(Plan& plan);

// Does every step, then becomes hearth-init. A step that fails is sent to hearthd as
// control::Failed {step, object, errno}, and the process ends.
[[noreturn]] void run_child(const Plan& plan);

// The steps' names, in their order.
std::span<const char* const> child_steps();

// RLIMIT_* as far as the hard limit of this process allows.
void set_resource_limit(int resource, uint64_t value);

}  // namespace hearth::sandbox::spawner
