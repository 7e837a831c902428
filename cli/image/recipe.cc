// SPDX-License-Identifier: Apache-2.0
#include "cli/image/recipe.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <fstream>

#include "cli/failure.h"
#include "cli/usage_error.h"

namespace hearth::cli {
namespace {

namespace fs = std::filesystem;

const std::vector<std::string> kKeys{"description", "variant", "packages",
                                     "runtimes",    "remove",  "run"};

// Beside the program, so that a copy of Hearth in another folder uses its own; else where it was
// installed.
fs::path recipes_folder() {
  std::error_code error;
  fs::path program = fs::read_symlink("/proc/self/exe", error);
  fs::path beside = program.parent_path().parent_path() / "share/hearth/recipes";
  if (!error && fs::is_directory(beside, error)) return beside;
  return HEARTH_DATA_DIR "/recipes";
}

std::string known_recipes(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error))
    if (entry.path().extension() == ".toml") names.push_back(entry.path().stem());
  std::sort(names.begin(), names.end());
  return fmt::format("{}", fmt::join(names, ", "));
}

std::string one(const CLI::ConfigItem& item, const std::string& path) {
  if (item.inputs.size() == 1) return item.inputs.front();
  throw Failure(Status::kUsage, fmt::format("recipe '{}': '{}' takes one text", path, item.name));
}

void take(Recipe& recipe, const CLI::ConfigItem& item, const std::string& path) {
  if (item.name == "description") {
    recipe.description = one(item, path);
  } else if (item.name == "variant") {
    recipe.variant = one(item, path);
  } else if (item.name == "packages") {
    recipe.packages = item.inputs;
  } else if (item.name == "runtimes") {
    recipe.runtimes = item.inputs;
  } else if (item.name == "remove") {
    recipe.remove = item.inputs;
  } else if (item.name == "run") {
    recipe.run = item.inputs;
  } else {
    std::optional<std::string> near = nearest(item.name, kKeys);
    throw Failure(Status::kUsage,
                  fmt::format("recipe '{}': unknown key '{}'{}", path, item.name,
                              near ? fmt::format("; did you mean '{}'?", *near) : ""));
  }
}

// What a recipe removes is removed by root: only plain paths below the image's root.
void check_paths(const Recipe& recipe, const std::string& path) {
  for (const std::string& remove : recipe.remove) {
    fs::path parts(remove);
    bool climbs =
        std::any_of(parts.begin(), parts.end(), [](const fs::path& p) { return p == ".."; });
    if (remove.empty() || parts.is_absolute() || climbs) {
      throw Failure(Status::kUsage, fmt::format("recipe '{}': cannot remove '{}': a path below the "
                                                "image's root is needed, without '..'",
                                                path, remove));
    }
  }
}

}  // namespace

Recipe load_recipe(const std::string& name) {
  bool is_path = name.find('/') != std::string::npos;
  fs::path folder = recipes_folder();
  fs::path path = is_path ? fs::path(name) : folder / (name + ".toml");
  std::ifstream file(path);
  if (!file) {
    throw Failure(Status::kUsage, is_path
                                      ? fmt::format("cannot open the recipe '{}'", name)
                                      : fmt::format("no recipe '{}' in '{}'; there are: {}", name,
                                                    folder.native(), known_recipes(folder)));
  }
  Recipe recipe;
  recipe.name = is_path ? path.stem().native() : name;
  for (const CLI::ConfigItem& item : CLI::ConfigTOML().from_config(file)) take(recipe, item, path);
  if (recipe.variant.empty())
    throw Failure(Status::kUsage, fmt::format("recipe '{}' has no variant", path.native()));
  check_paths(recipe, path);
  return recipe;
}

}  // namespace hearth::cli
