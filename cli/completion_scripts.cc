// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <functional>
#include <set>

#include "cli/completion.h"

namespace hearth::cli {
namespace {

using Commands = std::vector<const CompletionCommand*>;

std::string joined(const std::vector<std::string>& words, std::string_view between) {
  return fmt::format("{}", fmt::join(words, between));
}

// In single quotes, for all three shells. Help texts hold no newlines.
std::string quoted(std::string_view text) {
  std::string out = "'";
  for (char c : text) {
    if (c == '\'') {
      out += "'\\''";
    } else {
      out += c;
    }
  }
  return out + "'";
}

std::string first_sentence(const std::string& help) {
  size_t end = help.find_first_of(";(");
  std::string text = help.substr(0, end);
  while (!text.empty() && text.back() == ' ') text.pop_back();
  return text;
}

Commands all_of(const CompletionCommand& tree) {
  Commands all{&tree};
  for (const CompletionCommand& below : tree.commands)
    for (const CompletionCommand* command : all_of(below)) all.push_back(command);
  return all;
}

// Options that take a value, each once: an option of one name means the same in every command.
std::vector<const CompletionOption*> valued(const Commands& commands) {
  std::vector<const CompletionOption*> options;
  std::set<std::string> seen;
  for (const CompletionCommand* command : commands)
    for (const CompletionOption& option : command->options)
      if (option.takes_value && seen.insert(option.long_name).second) options.push_back(&option);
  return options;
}

std::string pattern_of(const CompletionOption& option) {
  std::string pattern = "--" + option.long_name;
  if (!option.short_name.empty()) pattern += "|-" + option.short_name;
  return pattern;
}

std::string skip_pattern(const Commands& commands) {
  std::vector<std::string> patterns;
  for (const CompletionOption* option : valued(commands)) patterns.push_back(pattern_of(*option));
  return joined(patterns, "|");
}

std::string path_pattern(const Commands& commands) {
  std::vector<std::string> patterns;
  for (const CompletionCommand* command : commands)
    if (command->path.size() > 1) patterns.push_back(quoted(joined(command->path, " ")));
  return joined(patterns, "|");
}

// The words that can follow a command: its commands, its options and the global ones.
std::string words_of(const CompletionCommand& command, const CompletionCommand& tree) {
  std::set<std::string> words;
  for (const CompletionCommand& below : command.commands) words.insert(below.path.back());
  for (const auto* options : {&command.options, &tree.options})
    for (const CompletionOption& option : *options) words.insert("--" + option.long_name);
  return fmt::format("{}", fmt::join(words, " "));
}

std::string bash_values(const Values& values) {
  switch (values.kind) {
    case Values::Kind::kNone:
      return ":";
    case Values::Kind::kFiles:
      return "compopt -o default";
    case Values::Kind::kWords:
      return fmt::format("COMPREPLY=($(compgen -W '{}' -- \"$cur\"))", values.words);
    case Values::Kind::kNames:
      return fmt::format(
          "COMPREPLY=($(compgen -W \"$(hearth completions {} 2>/dev/null)\" -- \"$cur\"))",
          values.words);
  }
  return ":";
}

std::string zsh_values(const Values& values) {
  switch (values.kind) {
    case Values::Kind::kNone:
      return ":";
    case Values::Kind::kFiles:
      return "_files";
    case Values::Kind::kWords:
      return fmt::format("compadd -- {}", values.words);
    case Values::Kind::kNames:
      return fmt::format("compadd -- ${{(f)\"$(hearth completions {} 2>/dev/null)\"}}",
                         values.words);
  }
  return ":";
}

std::string zsh_items(const CompletionCommand& command, const CompletionCommand& tree) {
  std::string items;
  auto item = [&](const std::string& word, const std::string& help) {
    items += "        " + quoted(word + ":" + first_sentence(help)) + "\n";
  };
  for (const CompletionCommand& below : command.commands) item(below.path.back(), below.help);
  std::set<std::string> seen;
  for (const auto* options : {&command.options, &tree.options})
    for (const CompletionOption& option : *options)
      if (seen.insert(option.long_name).second) item("--" + option.long_name, option.help);
  return items;
}

std::string fish_condition(const CompletionCommand& command, const CompletionCommand& tree) {
  if (command.path.size() == 1) return "__fish_use_subcommand";
  if (command.path.size() > 2) {
    return fmt::format("__fish_seen_subcommand_from {}; and __fish_seen_subcommand_from {}",
                       command.path[1], command.path[2]);
  }
  std::string condition = "__fish_seen_subcommand_from " + command.path[1];
  std::vector<std::string> others;
  if (command.commands.empty()) {  // `list` is not meant in `image list`
    for (const CompletionCommand& group : tree.commands)
      if (!group.commands.empty()) others.push_back(group.path.back());
  } else {
    for (const CompletionCommand& below : command.commands) others.push_back(below.path.back());
  }
  return condition + "; and not __fish_seen_subcommand_from " + joined(others, " ");
}

std::string fish_values(const Values& values) {
  switch (values.kind) {
    case Values::Kind::kNone:
      return "";
    case Values::Kind::kFiles:
      return " -F";
    case Values::Kind::kWords:
      return fmt::format(" -a '{}'", values.words);
    case Values::Kind::kNames:
      return fmt::format(" -a '(hearth completions {} 2>/dev/null)'", values.words);
  }
  return "";
}

std::string fish_option(const CompletionOption& option, const std::string& condition) {
  std::string line = "complete -c hearth";
  if (!condition.empty()) line += " -n " + quoted(condition);
  line += " -l " + option.long_name;
  if (!option.short_name.empty()) line += " -s " + option.short_name;
  if (option.takes_value)
    line +=
        (option.values.kind == Values::Kind::kFiles ? " -r" : " -x") + fish_values(option.values);
  return line + " -d " + quoted(first_sentence(option.help)) + "\n";
}

}  // namespace

std::string bash_completion(const CompletionCommand& tree) {
  Commands commands = all_of(tree);
  std::string script = fmt::format(
      "# bash completion for hearth, made by 'hearth completions bash'\n"
      "_hearth() {{\n"
      "  local cur=${{COMP_WORDS[COMP_CWORD]}} at=hearth i\n"
      "  COMPREPLY=()\n"
      "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
      "    case ${{COMP_WORDS[i]}} in {}) ((i++)); continue ;; esac\n"
      "    case \"$at ${{COMP_WORDS[i]}}\" in {}) at+=\" ${{COMP_WORDS[i]}}\" ;; esac\n"
      "  done\n"
      "  case ${{COMP_WORDS[COMP_CWORD-1]}} in\n",
      skip_pattern(commands), path_pattern(commands));
  for (const CompletionOption* option : valued(commands))
    script +=
        fmt::format("    {}) {}; return ;;\n", pattern_of(*option), bash_values(option->values));
  script += "  esac\n  case $at in\n";
  for (const CompletionCommand* command : commands) {
    bool has_argument = command->argument.kind != Values::Kind::kNone;
    script += fmt::format("    {})\n", quoted(joined(command->path, " ")));
    if (has_argument)
      script += fmt::format("      if [[ $cur != -* ]]; then {}; return; fi\n",
                            bash_values(command->argument));
    script += fmt::format("      COMPREPLY=($(compgen -W '{}' -- \"$cur\")) ;;\n",
                          words_of(*command, tree));
  }
  return script + "  esac\n}\ncomplete -F _hearth hearth\n";
}

std::string zsh_completion(const CompletionCommand& tree) {
  Commands commands = all_of(tree);
  std::string script = fmt::format(
      "#compdef hearth\n"
      "# zsh completion for hearth, made by 'hearth completions zsh'\n"
      "_hearth() {{\n"
      "  local at=hearth i\n"
      "  local -a items\n"
      "  for ((i = 2; i < CURRENT; i++)); do\n"
      "    case ${{words[i]}} in ({}) ((i++)); continue ;; esac\n"
      "    case \"$at ${{words[i]}}\" in ({}) at+=\" ${{words[i]}}\" ;; esac\n"
      "  done\n"
      "  case ${{words[CURRENT-1]}} in\n",
      skip_pattern(commands), path_pattern(commands));
  for (const CompletionOption* option : valued(commands))
    script +=
        fmt::format("    ({}) {}; return ;;\n", pattern_of(*option), zsh_values(option->values));
  script += "  esac\n  case $at in\n";
  for (const CompletionCommand* command : commands) {
    script += fmt::format("    ({})\n", quoted(joined(command->path, " ")));
    if (command->argument.kind != Values::Kind::kNone)
      script += fmt::format("      if [[ $PREFIX != -* ]]; then {}; return; fi\n",
                            zsh_values(command->argument));
    script += fmt::format("      items=(\n{}      )\n      _describe hearth items ;;\n",
                          zsh_items(*command, tree));
  }
  return script +
         "  esac\n}\n"
         "if [[ ${funcstack[1]} == _hearth ]]; then _hearth \"$@\"; else compdef _hearth hearth; "
         "fi\n";
}

std::string fish_completion(const CompletionCommand& tree) {
  std::string script =
      "# fish completion for hearth, made by 'hearth completions fish'\n"
      "complete -c hearth -f\n";
  for (const CompletionOption& option : tree.options) script += fish_option(option, "");
  for (const CompletionCommand* command : all_of(tree)) {
    std::string condition = fish_condition(*command, tree);
    for (const CompletionCommand& below : command->commands)
      script += fmt::format("complete -c hearth -n {} -a {} -d {}\n", quoted(condition),
                            below.path.back(), quoted(first_sentence(below.help)));
    if (command->argument.kind != Values::Kind::kNone)
      script += fmt::format("complete -c hearth -n {}{}\n", quoted(condition),
                            fish_values(command->argument));
    if (command == &tree) continue;
    for (const CompletionOption& option : command->options)
      if (option.long_name != "help") script += fish_option(option, condition);
  }
  return script;
}

}  // namespace hearth::cli
