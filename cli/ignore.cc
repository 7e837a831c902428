// SPDX-License-Identifier: Apache-2.0
#include "cli/ignore.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include "cli/failure.h"

namespace hearth::cli {
namespace {

bool never_wanted(std::string_view path, std::string_view name) {
  return name == ".git" || name == ".hg" || name == ".svn" || name == "__pycache__" ||
         path == ".hearthignore" || path.ends_with("node_modules/.cache");
}

}  // namespace

Ignore::Ignore(std::string_view text) {
  size_t number = 0;
  while (!text.empty()) {
    size_t end = text.find('\n');
    std::string line(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    ++number;
    while (!line.empty() && (line.back() == ' ' || line.back() == '\r' || line.back() == '\t'))
      line.pop_back();
    if (line.empty() || line.front() == '#') continue;
    if (line.front() == '!') {
      throw Failure(Status::kUsage,
                    fmt::format(".hearthignore, line {}: '{}': a line cannot bring back what "
                                "another one left out",
                                number, line));
    }
    Rule rule;
    rule.folders_only = line.back() == '/';
    if (rule.folders_only) line.pop_back();
    rule.whole_path = line.find('/') != std::string::npos;
    if (line.starts_with('/')) line.erase(0, 1);
    rule.glob = line;
    if (!rule.glob.empty()) rules_.push_back(rule);
  }
}

bool Ignore::ignores(const std::string& path, bool is_folder) const {
  size_t slash = path.rfind('/');
  std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  if (never_wanted(path, name)) return true;
  for (const Rule& rule : rules_) {
    if (rule.folders_only && !is_folder) continue;
    const std::string& subject = rule.whole_path ? path : name;
    if (::fnmatch(rule.glob.c_str(), subject.c_str(), FNM_PATHNAME) == 0) return true;
  }
  return false;
}

}  // namespace hearth::cli
