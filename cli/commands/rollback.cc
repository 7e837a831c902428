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

struct Options {
  std::string name;
  uint32_t version = 0;  // 0: the one before the live one
};

void run(const Options& options, const Globals& globals) {
  Json wanted = Json::object();
  if (options.version > 0) wanted["version"] = options.version;
  Json answer = globals.client().send("POST", globals.functions_path(options.name, "/rollback"),
                                      wanted.dump());
  if (globals.json) return show_json(answer);
  out().write(fmt::format("{} is back at version {}\n", options.name, cell(answer, "version")));
}

}  // namespace

void add_rollback(CLI::App& app, const Globals& globals) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "rollback", "Make an earlier version live; calls in flight finish on the other");
  command->add_option("FUNCTION", options->name, "The function")->required()->type_name("");
  command
      ->add_option("--to", options->version, "This version, instead of the one before the live one")
      ->type_name("N")
      ->check(CLI::Range(1u, 4294967295u));
  command->callback([options, &globals] { run(*options, globals); });
}

}  // namespace hearth::cli
