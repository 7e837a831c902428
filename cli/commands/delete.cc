// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/show.h"

namespace hearth::cli {
namespace {

void run(const std::string& name, const Globals& globals) {
  Request request;
  request.method = "DELETE";
  request.path = globals.functions_path(name);
  request.timeout =
      std::chrono::seconds(0);  // it waits for the calls in flight, which have deadlines
  globals.client().request(request);
  if (globals.json) return show_json(Json::object());
  out().write(fmt::format("deleted {}\n", name));
}

}  // namespace

void add_delete(CLI::App& app, const Globals& globals) {
  auto name = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand(
      "delete", "Delete a function and its versions, once its calls in flight are done");
  command->add_option("FUNCTION", *name, "The function")->required()->type_name("");
  command->callback([name, &globals] { run(*name, globals); });
}

}  // namespace hearth::cli
