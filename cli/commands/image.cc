// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>

#include "cli/commands.h"
#include "cli/failure.h"
#include "cli/image/build.h"
#include "cli/image/store.h"
#include "cli/output.h"
#include "cli/show.h"
#include "cli/units.h"

namespace hearth::cli {
namespace {

struct Options {
  ImageOrder order;
  std::string packages;   // separated by commas
  std::string state_dir;  // empty: asked of hearthd
};

void need_root(const char* what) {
  if (::geteuid() != 0) {
    throw Failure(
        Status::kRefused,
        fmt::format("only root can {} an image, because its files belong to root; use sudo", what));
  }
}

std::string state_dir_of(const Options& options, const Globals& globals) {
  if (!options.state_dir.empty()) return options.state_dir;
  std::string state_dir = word(globals.client().get("/v1/status"), "state_dir");
  if (state_dir.empty())
    throw Failure(Status::kRefused,
                  "hearthd does not say where its state folder is; name it with --state-dir");
  return state_dir;
}

bool is_package(const std::string& name) {
  auto plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  return !name.empty() && plain(name.front()) && std::all_of(name.begin(), name.end(), [&](char c) {
    return plain(c) || std::string_view("+-.:=~/_").find(c) != std::string_view::npos;
  });
}

std::vector<std::string> packages_of(const std::string& list) {
  std::vector<std::string> packages;
  std::stringstream stream(list);
  for (std::string name; std::getline(stream, name, ',');) {
    if (!is_package(name))
      throw Failure(Status::kUsage,
                    fmt::format("--packages: '{}' cannot be a package's name", name));
    packages.push_back(name);
  }
  return packages;
}

void build(const Options& options, const Globals& globals) {
  ImageOrder order = options.order;
  order.packages = packages_of(options.packages);
  check_image_name(order.name);
  need_root("build");
  BuiltImage image = build_image(order, state_dir_of(options, globals));
  if (globals.json) return out().write(image.json + "\n");
  out().write(fmt::format(
      "built image {}: {} in {}; took out {} devices and the special rights of {} files\n",
      options.order.name, human_bytes(image.bytes), human_seconds(image.seconds), image.removed,
      image.changed));
}

// hearthd is asked first: it refuses while a function uses the image, and takes no new use from
// then on.
void remove(const Options& options, const Globals& globals) {
  const std::string& name = options.order.name;
  check_image_name(name);
  need_root("delete");
  ImageStore store(state_dir_of(options, globals));
  globals.client().send("DELETE", "/v1/images/" + escape_url(name));
  store.remove(name);
  if (globals.json) return show_json(Json::object());
  out().write(fmt::format("deleted image {}\n", name));
}

void list(const Globals& globals) {
  show_list(globals, "/v1/images",
            {{{"NAME"}, "name", {}},
             {{"RECIPE"}, "recipe", {}},
             {{"SIZE", Align::kRight}, "bytes", {}},
             {{"IN USE"}, "in_use", {}},
             {{"CREATED (UTC)"}, "created_at", {}},
             {{"PACKAGES"}, "packages", {}}},
            "no images; 'hearth image build NAME' makes one");
}

void add_build(CLI::App& group, const std::shared_ptr<Options>& options, const Globals& globals) {
  CLI::App* command =
      group.add_subcommand("build", "Build an image from Debian packages with mmdebstrap, as root");
  ImageOrder& order = options->order;
  command->add_option("NAME", order.name, "Its name: 1 to 63 of a-z, 0-9 and -")
      ->required()
      ->type_name("");
  command
      ->add_option("--recipe", order.recipe,
                   "python3, nodejs, minimal, or the path of a recipe file")
      ->type_name("RECIPE")
      ->capture_default_str();
  command->add_option("--packages", options->packages, "Debian packages beyond those of the recipe")
      ->type_name("A,B,C");
  command->add_option("--suite", order.suite, "The release of Debian")
      ->type_name("SUITE")
      ->capture_default_str();
  command
      ->add_option("--mirror", order.mirror,
                   "Where packages come from, instead of Debian's own mirrors")
      ->type_name("URL");
  command
      ->add_option("--state-dir", options->state_dir,
                   "hearthd's state folder, instead of asking hearthd")
      ->type_name("DIR");
  command->callback([options, &globals] { build(*options, globals); });
}

}  // namespace

void add_image(CLI::App& app, const Globals& globals) {
  auto options = std::make_shared<Options>();
  CLI::App* group = app.add_subcommand(
      "image", "Build, list and delete images, the filesystems that sandboxes start from");
  group->require_subcommand(1);
  add_build(*group, options, globals);

  CLI::App* list_command = group->add_subcommand("list", "List the images");
  list_command->callback([&globals] { list(globals); });

  CLI::App* delete_command =
      group->add_subcommand("delete", "Delete an image that no function uses, as root");
  delete_command->add_option("IMAGE", options->order.name, "The image")->required()->type_name("");
  delete_command
      ->add_option("--state-dir", options->state_dir,
                   "hearthd's state folder, instead of asking hearthd")
      ->type_name("DIR");
  delete_command->callback([options, &globals] { remove(*options, globals); });
}

}  // namespace hearth::cli
