// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "cli/commands.h"
#include "cli/show.h"

namespace hearth::cli {

void add_list(CLI::App& app, const Globals& globals) {
  CLI::App* command = app.add_subcommand("list", "List the functions of a tenant");
  command->callback([&globals] {
    show_list(globals, globals.functions_path(),
              {{{"NAME"}, "name", {}},
               {{"VERSION", Align::kRight}, "version", {}},
               {{"RUNTIME"}, "runtime", {}},
               {{"IMAGE"}, "image", {}},
               {{"MEMORY", Align::kRight}, "memory_mb", {}},
               {{"TIMEOUT", Align::kRight}, "timeout_ms", {}},
               {{"REUSE"}, "reuse", {}},
               {{"DEPLOYED (UTC)"}, "created_at", {}}},
              fmt::format("no functions in tenant '{}'; 'hearth deploy DIR' makes one",
                          globals.tenant_name()));
  });
}

}  // namespace hearth::cli
