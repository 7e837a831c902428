// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "daemon/config.h"

namespace hearth::daemon {

enum class Mode { kServe, kCheck };

struct Options {
  Mode mode = Mode::kServe;
  Config config;  // the file's, overridden by the command line
  std::string config_path;
  std::string libexec_dir;  // hearth-spawner, hearth-init, runtimes/
};

// Reads the command line and the configuration file. Prints what is wrong and exits with 2; --help
// and --version exit with 0.
Options parse_options(int argc, char** argv);

}  // namespace hearth::daemon
