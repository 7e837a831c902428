// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/show.h"

namespace hearth::cli {

void add_versions(CLI::App& app, const Globals& globals) {
  auto name = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand("versions", "List the versions of a function");
  command->add_option("FUNCTION", *name, "The function")->required()->type_name("");
  command->callback([name, &globals] {
    show_list(globals, globals.functions_path(*name, "/versions"),
              {{{"VERSION", Align::kRight}, "version", {}},
               {{"LIVE"}, "live", {}},
               {{"RUNTIME"}, "runtime", {}},
               {{"HASH"}, "hash", [](const Json& row) { return word(row, "hash").substr(0, 12); }},
               {{"SIZE", Align::kRight}, "bytes", {}},
               {{"DEPLOYED (UTC)"}, "created_at", {}}},
              fmt::format("'{}' has no versions", *name));
  });
}

}  // namespace hearth::cli
