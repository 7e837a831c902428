// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "sandbox/control.h"
#include "sandbox/sys/fd.h"
#include "tests/support/control_talk.h"

namespace hearth::sandbox {

using test::read_all;
using test::tell;

// hearth-init in namespaces of its own, with what it may rely on and nothing of the spawner: a
// small root (host's /usr, /tmp, /dev/shm, hidden /proc, the fixture as /var/task/fixture), the
// four capabilities, no cgroup. Needs root. Destroying it closes the control socket and kills the
// rest.
class Box {
 public:
  struct Options {
    bool show_processes_to_init = false;  // proc with gid=0
    unsigned processes_max = 64;
  };
  Box();
  explicit Box(Options options);
  ~Box();

  int control() const { return control_.get(); }
  void close_control() { control_.reset(); }
  pid_t init() const { return pid_; }  // on the host
  int pidfd() const { return pidfd_.get(); }
  // Only what PID 1 itself sees is asked: processes of its namespace, by the host's ids.
  std::vector<pid_t> processes() const;

  void send(const control::Request& request);
  control::Event next() { return test::next_event(control()); }
  control::Started next_started() { return test::next_started(control()); }
  Failure next_failure() { return test::next_failure(control()); }
  control::Exited next_exited() { return test::next_exited(control()); }

  // Starts the fixture: `mode` is its first argument.
  control::Started start(const std::string& mode, control::Role role = control::Role::kServer,
                         control::Stdio stdio = control::Stdio::kFramed);

 private:
  sys::Fd control_, pidfd_;
  pid_t pid_ = -1;
};

}  // namespace hearth::sandbox
