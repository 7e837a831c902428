// SPDX-License-Identifier: Apache-2.0
#include "cli/usage_error.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "cli/text.h"

namespace hearth::cli {
namespace {

// Edits (insert, delete, replace, swap of neighbours) from one word to the other.
size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<size_t>> d(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) d[i][0] = i;
  for (size_t j = 0; j <= b.size(); ++j) d[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      size_t replace = d[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, replace});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  }
  return d[a.size()][b.size()];
}

const CLI::App* deepest(const CLI::App* app) {
  while (!app->get_subcommands().empty()) app = app->get_subcommands().back();
  return app;
}

std::string full_name(const CLI::App* app) {
  std::string name = app->get_name();
  for (const CLI::App* up = app->get_parent(); up; up = up->get_parent())
    name = up->get_name() + " " + name;
  return name;
}

std::vector<std::string> command_names(const CLI::App* app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app->get_subcommands([](const CLI::App*) { return true; }))
    names.push_back(command->get_name());
  return names;
}

std::vector<std::string> option_names(const CLI::App* app) {
  std::vector<std::string> names;
  for (; app; app = app->get_parent())
    for (const CLI::Option* option : app->get_options())
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  return names;
}

// How to go on: the word that was probably meant, else where the words are.
std::string hint(const std::string& word, const std::vector<std::string>& candidates,
                 const std::string& see) {
  std::optional<std::string> near = nearest(word, candidates);
  return near ? fmt::format("; did you mean '{}'?", *near) : see;
}

}  // namespace

std::optional<std::string> nearest(std::string_view word,
                                   const std::vector<std::string>& candidates) {
  if (word.size() > 64) return std::nullopt;
  std::optional<std::string> best;
  size_t best_distance = std::max<size_t>(1, word.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    size_t edits = distance(word, candidate);
    if (edits < best_distance) {
      best = candidate;
      best_distance = edits;
    }
  }
  return best;
}

std::string explain(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App* command = deepest(&app);
  std::string see = fmt::format("; see '{} --help'", full_name(command));
  std::vector<std::string> left = app.remaining(true);
  std::string word = left.empty() ? std::string() : left.front();
  std::vector<std::string> commands = command_names(command);
  if (word.size() > 1 && word.front() == '-') {
    std::string name = word.substr(0, word.find('='));
    return one_line(
        fmt::format("unknown option '{}'{}", name, hint(name, option_names(command), see)));
  }
  if (!word.empty() && !commands.empty())
    return one_line(fmt::format("unknown command '{}'{}", word, hint(word, commands, see)));
  if (!commands.empty()) return fmt::format("a command is needed{}", see);
  if (!word.empty()) return one_line(fmt::format("unexpected argument '{}'{}", word, see));
  return one_line(error.what()) + see;
}

}  // namespace hearth::cli
