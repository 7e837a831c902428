// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace hearth::cli {

struct ImageOrder {
  std::string name, recipe = "python3", suite = "bookworm",
                    mirror;           // mirror: empty is Debian's own
  std::vector<std::string> packages;  // beyond the recipe's
};
struct BuiltImage {
  std::string json;  // what image.json says
  uint64_t bytes = 0, removed = 0, changed = 0, seconds = 0;
};

// Builds an image below the state folder, as root, telling its stages on stderr. Whatever ends it
// early, no part of the image stays. Throws Failure (with the end of the log) and sys::Error.
BuiltImage build_image(const ImageOrder& order, const std::string& state_dir);

}  // namespace hearth::cli
