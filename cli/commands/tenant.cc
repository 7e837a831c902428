// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/show.h"

namespace hearth::cli {
namespace {

struct Options {
  std::string name;
  uint32_t concurrency_max = 0;  // 0: hearthd's default
};

void create(const Options& options, const Globals& globals) {
  Json tenant{{"name", options.name}};
  if (options.concurrency_max > 0) tenant["concurrency_max"] = options.concurrency_max;
  Json answer = globals.client().send("POST", "/v1/tenants", tenant.dump());
  if (globals.json) return show_json(answer);
  out().write(fmt::format("created tenant {}\n", options.name));
}

void remove(const Options& options, const Globals& globals) {
  Json answer = globals.client().send("DELETE", "/v1/tenants/" + escape_url(options.name));
  if (globals.json) return show_json(answer);
  out().write(fmt::format("deleted tenant {}\n", options.name));
}

void list(const Globals& globals) {
  show_list(globals, "/v1/tenants",
            {{{"NAME"}, "name", {}},
             {{"CONCURRENCY MAX", Align::kRight}, "concurrency_max", {}},
             {{"FUNCTIONS", Align::kRight}, "functions", {}},
             {{"CREATED (UTC)"}, "created_at", {}}},
            "no tenants; 'hearth tenant create NAME' makes one");
}

}  // namespace

void add_tenant(CLI::App& app, const Globals& globals) {
  auto options = std::make_shared<Options>();
  CLI::App* group = app.add_subcommand("tenant", "Create, list and delete tenants");
  group->require_subcommand(1);

  CLI::App* create_command = group->add_subcommand("create", "Create a tenant");
  create_command->add_option("NAME", options->name, "Its name: 1 to 63 of a-z, 0-9 and -")
      ->required()
      ->type_name("");
  create_command
      ->add_option("--concurrency-max", options->concurrency_max,
                   "Calls that it may have running at once")
      ->type_name("N")
      ->check(CLI::Range(1u, 1000000u));
  create_command->callback([options, &globals] { create(*options, globals); });

  CLI::App* list_command = group->add_subcommand("list", "List the tenants");
  list_command->callback([&globals] { list(globals); });

  CLI::App* delete_command =
      group->add_subcommand("delete", "Delete a tenant that has no functions");
  delete_command->add_option("TENANT", options->name, "The tenant")->required()->type_name("");
  delete_command->callback([options, &globals] { remove(*options, globals); });
}

}  // namespace hearth::cli
