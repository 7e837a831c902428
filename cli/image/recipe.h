// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace hearth::cli {

// How an image is made: a small TOML file of the recipes folder, or one that a person wrote.
struct Recipe {
  std::string name;
  std::string description;
  std::string variant;  // of mmdebstrap: essential, minbase, extract, …
  std::vector<std::string> packages;
  std::vector<std::string> runtimes;  // that can run in it
  std::vector<std::string> remove;    // below the root: what the image does not need
  std::vector<std::string> run;  // a program inside the image, run when its packages are there
};

// `name` of the recipes that come with Hearth, or the path of a file (it holds a slash). Throws
// Failure: what is wrong, and which recipes there are.
Recipe load_recipe(const std::string& name);

}  // namespace hearth::cli
