// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "sandbox/spec.h"

namespace hearth::daemon {

// What the kernel counted for a sandbox's cgroup since it was made (microseconds, bytes, events).
struct CpuCounters {
  uint64_t user_us = 0, system_us = 0, throttled_us = 0;
};

// From the kept descriptor of `cpu.stat`: one pread.
CpuCounters read_cpu(const sandbox::Descriptors& descriptors);
// From a path, for the cgroups that a dead hearthd left. Zeroes if it is gone.
CpuCounters read_cpu_at(const std::string& cgroup_path);

// The value of `key` in a flat keyed file (`memory.events`, `pids.events`, `cgroup.events`); 0 if
// absent.
uint64_t read_key(int fd, const char* key);
// The number in a single-value file (`memory.peak`); 0 if it cannot be read.
uint64_t read_value(int fd);
// Processes in the cgroup now, from `cgroup.procs`.
uint32_t count_processes(int fd);

// Memory of the cgroup's processes now without what they share with files: the best-effort stand-in
// for memory.current. Costs a read per process.
uint64_t sum_anonymous_memory(int cgroup_procs_fd);
// Of the process that has the most.
uint64_t largest_anonymous_memory(int cgroup_procs_fd);

}  // namespace hearth::daemon
