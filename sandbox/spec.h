// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "sandbox/sys/fd.h"

namespace hearth::sandbox {

// Ids inside a sandbox. The host side is the block's base plus these.
inline constexpr uint32_t kInitUid = 0;
inline constexpr uint32_t kUserUid = 1000;
inline constexpr uint32_t kUserGid = 1000;
inline constexpr uint32_t kBlockSize = 65536;

enum class LimitsMode { kStrict, kBestEffort };

struct Limits {
  uint64_t memory_bytes = 128u << 20;  // memory.max; swap 0; the whole sandbox, /tmp included
  uint32_t processes_max = 64;         // pids.max: processes and threads of user code
  uint32_t cpu_percent = 100;          // cpu.max: 100 is one core
  uint64_t tmp_bytes = 64u << 20;      // size of /tmp; /dev/shm has the same bound
  uint32_t open_files_max = 1024;      // RLIMIT_NOFILE
  uint64_t file_bytes_max = 1u << 30;  // RLIMIT_FSIZE
  // io.max, of each disk that images and code are read from; 0: no limit. A sandbox writes to no
  // disk.
  uint64_t io_bytes_per_s = 0;
  uint32_t io_reads_per_s = 0;
};

// Pages that a sandbox waits for are locked for all who share the file, so nobody may wait long:
// the least limits on reading.
inline constexpr uint64_t kIoBytesPerSecondMin = 1u << 20;
inline constexpr uint32_t kIoReadsPerSecondMin = 100;

// RLIMIT_NPROC lies one above: pids.max refuses first and counts it, and without that controller
// hearthd can see that the limit is passed.
inline constexpr uint32_t process_rlimit(uint32_t processes_max) {
  return processes_max + 1;
}

// What the spawner is asked to make.
struct Spec {
  uint64_t id = 0;       // unique in a run of hearthd; the cgroup's leaf is "s-<id>"
  std::string tenant;    // [a-z0-9-]{1,63}
  std::string function;  // empty: generic
  std::string image;     // "host" or the name of a folder in STATE/images
  std::string bundle;    // hex SHA-256, a folder in STATE/bundles; empty: generic
  Limits limits;
};

// What hearthd holds of a sandbox. Optional ones are empty where the host lacks the controller.
struct Descriptors {
  sys::Fd control;        // SEQPACKET to hearth-init, see control.h
  sys::Fd pidfd;          // PID 1
  sys::Fd cgroup_kill;    // write "1"
  sys::Fd cgroup_events;  // pread: "populated 0|1"
  sys::Fd cgroup_procs;   // read only
  sys::Fd cpu_stat;
  sys::Fd memory_peak;  // optional; read-write where the kernel can reset it per descriptor (6.12)
  sys::Fd memory_events;   // optional
  sys::Fd memory_current;  // optional
  sys::Fd pids_events;     // optional
};

// A set-up step that failed, wherever it did.
struct Failure {
  std::string step;    // "mount /proc", "write uid_map", …
  std::string object;  // path or name
  int error = 0;       // errno
};

}  // namespace hearth::sandbox
