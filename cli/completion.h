// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

// Shell completions, made by walking the commands and options as they are: nothing about them is
// written twice.
namespace hearth::cli {

// What can stand in a place: nothing known, a path, one of some words, or a name that hearthd
// knows.
struct Values {
  enum class Kind { kNone, kFiles, kWords, kNames } kind = Kind::kNone;
  std::string words;  // kWords: separated by spaces; kNames: "functions", "tenants" or "images"
};

struct CompletionOption {
  std::string long_name, short_name, help;  // without dashes; short_name may be empty
  bool takes_value = false;
  Values values;
};

struct CompletionCommand {
  std::vector<std::string> path;  // {"hearth", "image", "build"}
  std::string help;
  std::vector<CompletionOption> options;  // its own, without those of the commands above
  std::vector<CompletionCommand> commands;
  Values argument;  // the positional one
};

CompletionCommand completion_tree(const CLI::App& app);

std::string bash_completion(const CompletionCommand& tree);
std::string zsh_completion(const CompletionCommand& tree);
std::string fish_completion(const CompletionCommand& tree);

}  // namespace hearth::cli
