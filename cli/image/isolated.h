// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "sandbox/sys/fd.h"

namespace hearth::cli {

// A program that root runs in mount and process namespaces of its own, in a session of its own:
// when it ends or is stopped, all its children and mounts are gone. The folder `work` is at
// kIsolatedWork for it, whatever others rename outside.
struct Isolated {
  std::vector<std::string> argv;  // argv[0] is looked for in PATH
  int work = -1;
  std::function<void(std::string_view line)> on_line;  // of its stdout and stderr
  std::function<void()> on_tick;                       // about twice a second
};
inline constexpr const char* kIsolatedWork = "/mnt";

// Waits for its end; throws Failure when it failed or was stopped, sys::Error when it could not be
// started. Any exception out of the callbacks stops it first.
void run_isolated(const Isolated& program);

// From now on SIGINT, SIGTERM and SIGHUP make stop_if_asked() throw instead of ending this process
// at once.
void catch_stop_signals();
void stop_if_asked();

}  // namespace hearth::cli
