// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/show.h"

namespace hearth::cli {

void add_status(CLI::App& app, const Globals& globals) {
  CLI::App* command =
      app.add_subcommand("status", "Show what hearthd is doing and which means enforce its limits");
  command->callback([&globals] { show_object(globals, globals.client().get("/v1/status")); });
}

}  // namespace hearth::cli
