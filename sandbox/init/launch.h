// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <array>

#include "sandbox/control.h"
#include "sandbox/sys/fd.h"

namespace hearth::sandbox::init {

// Both ends of what connects one process with hearthd. hearthd's do not block; that flag belongs to
// an end (a socket's) or to one of two descriptions (a pipe's), so user code cannot change it.
struct Connection {
  control::Started ours;
  std::array<sys::Fd, 3> theirs;  // framed: channel, stdout, stderr; raw: stdin, stdout, stderr
};

// Throws sys::Error.
Connection connect(control::Stdio stdio);

// Starts the program as the user: without capabilities, filtered, in a session of its own, with no
// descriptor but `theirs` and, for a zygote, `fork_socket` as 4. Throws sys::Error when a step
// fails, exec included; no process is left then.
pid_t launch(const control::Start& start, const std::array<sys::Fd, 3>& theirs, int fork_socket);

}  // namespace hearth::sandbox::init
