// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/filter.h>

#include <array>
#include <cstdint>
#include <span>

#include "sandbox/init/filter.h"

namespace hearth::sandbox {

using Filter = std::span<const sock_filter>;  // empty: none

inline Filter server() {
  return init::kServerFilter;
}
inline Filter zygote() {
  return init::kZygoteFilter;
}

// One system call, made for real.
struct Call {
  const char* name;
  long number;
  std::array<uint64_t, 6> arguments;
};

// What a forked child that loads `filter` gets: 0 for a success, else errno; 1000 + the signal that
// it was killed by.
int outcome(Filter filter, const Call& call);
// The same for an i386 call (int 0x80).
int outcome_of_i386_getpid(Filter filter);

// What the filter returns for a call (SECCOMP_RET_…), computed, not called.
uint32_t verdict(Filter filter, long number, const std::array<uint64_t, 6>& arguments = {});

}  // namespace hearth::sandbox
