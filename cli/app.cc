// SPDX-License-Identifier: Apache-2.0
#include "cli/app.h"

#include <CLI/CLI.hpp>

#include "cli/commands.h"

namespace hearth::cli {

void set_up(CLI::App& app, Globals& globals) {
  app.name("hearth");
  app.description("Deploy functions to hearthd on this host, call them, and see what they used.");
  app.set_version_flag("--version", "hearth " HEARTH_VERSION, "Print the version and exit");
  app.set_help_flag("-h,--help", "Print what a command does and its options, and exit");
  app.add_option("--socket", globals.socket, "Unix socket of hearthd")
      ->type_name("PATH")
      ->envname("HEARTH_SOCKET")
      ->capture_default_str();
  app.add_option("--tenant", globals.tenant, "The tenant to work for (default: default)")
      ->type_name("TENANT");
  app.add_flag("--json", globals.json,
               "Print JSON instead of a table: an array for a list, else one object");
  app.require_subcommand(1);
  app.fallthrough();
  app.get_formatter()->column_width(32);
  app.footer(
      "Exit status: 0 success, 1 the function failed, 2 wrong usage, 3 refused or unreachable, 4 "
      "timeout.\n"
      "See hearth(1) for examples.");
  add_commands(app, globals);
}

}  // namespace hearth::cli
