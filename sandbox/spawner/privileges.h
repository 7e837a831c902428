// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

// Capabilities, by the kernel's own calls. All throw sys::Error.
namespace hearth::sandbox::spawner {

// A set of CAP_* as bits.
constexpr uint64_t capability(int number) {
  return uint64_t{1} << number;
}

// Drops every capability that is not in `keep` from the bounding set.
void drop_bounding(uint64_t keep);

void set_capabilities(uint64_t permitted_and_effective, uint64_t inheritable);
void raise_ambient(uint64_t capabilities);

// From here on uid 0 is nothing special to exec and setuid, and nobody can change that.
void lock_securebits();

void set_no_new_privileges();

// What the spawner keeps once it is on its stage: SETUID and SETGID to write id maps, SYS_ADMIN to
// mount, DAC_READ_SEARCH for a state folder that belongs to another user.
void drop_to_spawner();

}  // namespace hearth::sandbox::spawner
