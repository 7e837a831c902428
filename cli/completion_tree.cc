// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <algorithm>

#include "cli/completion.h"

namespace hearth::cli {
namespace {

// The kind of a place follows from its placeholder: FUNCTION, TENANT, IMAGE, words like bash|zsh,
// and paths. What follows a colon is a check that CLI11 describes.
Values values_of(std::string placeholder) {
  placeholder.resize(std::min(placeholder.size(), placeholder.find(':')));
  if (placeholder == "FUNCTION") return {Values::Kind::kNames, "functions"};
  if (placeholder == "TENANT") return {Values::Kind::kNames, "tenants"};
  if (placeholder == "IMAGE") return {Values::Kind::kNames, "images"};
  for (const char* path : {"FILE", "DIR", "PATH"})
    if (placeholder.find(path) != std::string::npos) return {Values::Kind::kFiles, {}};
  bool words = placeholder.find('|') != std::string::npos &&
               std::all_of(placeholder.begin(), placeholder.end(), [](char c) {
                 return c == '|' || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
               });
  if (!words) return {};
  std::string list = placeholder;
  std::replace(list.begin(), list.end(), '|', ' ');
  return {Values::Kind::kWords, list};
}

CompletionCommand tree_of(const CLI::App& app, std::vector<std::string> above) {
  CompletionCommand command;
  command.path = std::move(above);
  command.path.push_back(app.get_name());
  command.help = app.get_description();
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_lnames().empty()) {
      std::string type = option->get_type_name();
      command.argument = values_of(type.empty() ? option->get_name(true) : type);
      continue;
    }
    CompletionOption entry;
    entry.long_name = option->get_lnames().front();
    if (!option->get_snames().empty()) entry.short_name = option->get_snames().front();
    entry.help = option->get_description();
    entry.takes_value = option->get_items_expected_max() > 0;
    if (entry.takes_value) entry.values = values_of(option->get_type_name());
    command.options.push_back(std::move(entry));
  }
  for (const CLI::App* below : app.get_subcommands([](const CLI::App*) { return true; }))
    command.commands.push_back(tree_of(*below, command.path));
  return command;
}

}  // namespace

CompletionCommand completion_tree(const CLI::App& app) {
  return tree_of(app, {});
}

}  // namespace hearth::cli
