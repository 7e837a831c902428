// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "sandbox/control.h"
#include "sandbox/sys/fd.h"

namespace hearth::sandbox {

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
  // Throws std::runtime_error when nothing comes in time.
  control::Event next(std::chrono::milliseconds patience = std::chrono::seconds(10));
  // As next, throwing for another kind of event (Exited is passed over, unless asked for).
  control::Started next_started();
  Failure next_failure();
  control::Exited next_exited();

  // Starts the fixture: `mode` is its first argument.
  control::Started start(const std::string& mode, control::Role role = control::Role::kServer,
                         control::Stdio stdio = control::Stdio::kFramed);

 private:
  sys::Fd control_, pidfd_;
  pid_t pid_ = -1;
};

// Reads until end of file or `patience` is over; throws then.
std::string read_all(int fd, std::chrono::milliseconds patience = std::chrono::seconds(20));
// Sends a line to the fixture over its channel and returns the line it answers with.
std::string tell(const control::Started& process, const std::string& command);

}  // namespace hearth::sandbox
