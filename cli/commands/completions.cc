// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/completion.h"
#include "cli/output.h"
#include "cli/show.h"

namespace hearth::cli {
namespace {

// For the scripts themselves: the names that hearthd knows, one per line.
void print_names(const std::string& what, const Globals& globals) {
  std::string path = what == "functions" ? globals.functions_path() : "/v1/" + what;
  for (const Json& row : globals.client().get(path)) out().write(word(row, "name") + "\n");
}

void run(const CLI::App& app, const std::string& what, const Globals& globals) {
  CompletionCommand tree = completion_tree(app);
  if (what == "bash") {
    out().write(bash_completion(tree));
  } else if (what == "zsh") {
    out().write(zsh_completion(tree));
  } else if (what == "fish") {
    out().write(fish_completion(tree));
  } else {
    print_names(what, globals);
  }
}

}  // namespace

void add_completions(CLI::App& app, const Globals& globals) {
  auto what = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand("completions", "Print the completion script of a shell");
  command->add_option("SHELL", *what, "The shell")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish", "functions", "tenants", "images"}))
      ->type_name("bash|zsh|fish");
  command->footer(
      "In place of a shell, functions, tenants or images prints those names, one per line.");
  command->callback([&app, what, &globals] { run(app, *what, globals); });
}

}  // namespace hearth::cli
