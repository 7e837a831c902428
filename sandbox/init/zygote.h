// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <array>
#include <functional>
#include <optional>

#include "sandbox/init/children.h"
#include "sandbox/sys/fd.h"

namespace hearth::sandbox::init {

// init's end of a zygote's fork socket (SEQPACKET): `F` and three descriptors one way, a process id
// the other. The zygote runs user code, so nothing it says is believed.
class Zygote {
 public:
  // `socket` is ours; the other end went to process `pid`.
  Zygote(pid_t pid, sys::Fd socket);

  pid_t pid() const { return pid_; }

  void ask(const std::array<sys::Fd, 3>& descriptors);
  int socket() const { return socket_.get(); }
  // The child's id once the answer is there. Throws sys::Error for an answer that is no running
  // child of ours, or for the zygote's own error.
  std::optional<pid_t> answer();

  // Throws sys::Error unless it runs (neither ended nor stopped) and, where /proc shows it, has no
  // children of its own.
  void verify() const;

 private:
  pid_t pid_;
  sys::Fd socket_;
  sys::Fd children_;  // empty where /proc hides it
};

}  // namespace hearth::sandbox::init
