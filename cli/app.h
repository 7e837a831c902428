// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/globals.h"

namespace CLI {
class App;
}

namespace hearth::cli {

// Gives `app` the global options and all commands. `globals` outlives it.
void set_up(CLI::App& app, Globals& globals);

}  // namespace hearth::cli
