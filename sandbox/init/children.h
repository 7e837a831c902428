// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <vector>

#include "sandbox/sys/fd.h"

namespace hearth::sandbox::init {

using Clock = std::chrono::steady_clock;

struct Reaped {
  pid_t pid;
  int wait_status;
};

// The processes whose parent is PID 1: those it started, those a zygote parked, and the orphans of
// all of them. User code cannot become a subreaper, so killing these again and again reaches
// everything but what the zygote itself started. SIGCHLD must be blocked.
class Children {
 public:
  Children();  // throws sys::Error without /proc

  // Those alive or not yet reaped. May be cut short: good for "kill these", and, when it shows only
  // what is expected, for "nothing else is there" (an orphan moves here before its parent can be
  // reaped, and nobody but us reaps).
  std::vector<pid_t> list() const;

  // One that ended, if any.
  static std::optional<Reaped> reap();
  // Returns when a child may have ended, or at `deadline`.
  static void wait(Clock::time_point deadline);

 private:
  sys::Fd list_;  // kept open: one pread per look
};

// Is `pid` a child of ours that neither ended nor is stopped?
bool is_running_child(pid_t pid);

}  // namespace hearth::sandbox::init
