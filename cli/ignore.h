// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace hearth::cli {

// What stays out of a bundle: what is never wanted (.git, __pycache__, …) and the lines of a
// `.hearthignore`. A line is a glob (* ? [..]); without a slash it is matched against the last part
// of a path, with one against the whole path from the bundle's root, where * does not match a
// slash; a slash at its end: folders only. `#` starts a comment line.
class Ignore {
 public:
  Ignore() = default;
  // Throws Failure for a line that it cannot honour (`!` would bring something back).
  explicit Ignore(std::string_view text);

  bool ignores(const std::string& path, bool is_folder) const;  // path: relative to the root, "a/b"

 private:
  struct Rule {
    std::string glob;
    bool whole_path = false, folders_only = false;
  };
  std::vector<Rule> rules_;
};

}  // namespace hearth::cli
