// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/show.h"

namespace hearth::cli {

void add_describe(CLI::App& app, const Globals& globals) {
  auto name = std::make_shared<std::string>();
  CLI::App* command =
      app.add_subcommand("describe", "Show one function: its settings and its live version");
  command->add_option("FUNCTION", *name, "The function")->required()->type_name("");
  command->callback([name, &globals] {
    show_object(globals, globals.client().get(globals.functions_path(*name)));
  });
}

}  // namespace hearth::cli
