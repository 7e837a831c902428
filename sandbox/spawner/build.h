// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include "sandbox/spawner/child.h"
#include "sandbox/spawner/groups.h"
#include "sandbox/spawner/images.h"
#include "sandbox/spec.h"
#include "sandbox/sys/fd.h"

namespace hearth::sandbox::spawner {

// A process of ours. Destruction kills it, and with it its pid namespace, and reaps it.
class Process {
 public:
  Process() = default;
  Process(pid_t pid, sys::Fd pidfd) : pid_(pid), pidfd_(std::move(pidfd)) {}
  Process(Process&& other) noexcept = default;
  Process& operator=(Process&&) = delete;
  ~Process();

  pid_t pid() const { return pid_; }
  int pidfd() const { return pidfd_.get(); }
  bool reap_if_dead();  // true: it is dead and reaped, now or before

 private:
  pid_t pid_ = -1;
  sys::Fd pidfd_;  // empty once reaped
};

struct Built {
  Process process;
  std::string leaf;  // its cgroup
  Descriptors descriptors;
};

// Makes the sandbox that `spec` asks for, its ids mapped to the host's from `first_id` on. Returns
// while its set-up still goes on in it. Throws sys::Error; nothing is left then.
Built build(const Spec& spec, uint32_t first_id, Groups& groups, Images& images, Faults& faults);

}  // namespace hearth::sandbox::spawner
