// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/show.h"

namespace hearth::cli {

void add_call(CLI::App& app, const Globals& globals) {
  auto id = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand("call", "Show the record of one call");
  command
      ->add_option("ID", *id, "The call, as 'hearth calls' and the header Hearth-Call-Id name it")
      ->required()
      ->type_name("");
  command->callback([id, &globals] {
    show_object(globals, globals.client().get("/v1/calls/" + escape_url(*id)));
  });
}

}  // namespace hearth::cli
