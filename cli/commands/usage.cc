// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/show.h"
#include "cli/times.h"

namespace hearth::cli {
namespace {

struct Options {
  std::string function, since, until;
};

// "3: timeout 2, crashed 1"
std::string errors_of(const Json& row) {
  auto errors = row.find("errors");
  if (errors == row.end() || !errors->is_object()) return {};
  uint64_t total = 0;
  std::string kinds;
  for (const auto& [kind, count] : errors->items()) {
    if (!count.is_number_unsigned() || count.get<uint64_t>() == 0) continue;
    total += count.get<uint64_t>();
    kinds += fmt::format("{}{} {}", kinds.empty() ? "" : ", ", kind, count.get<uint64_t>());
  }
  return total == 0 ? "0" : fmt::format("{}: {}", total, kinds);
}

// Thousandths as a decimal: gb_ms is GB-s times 1000; CPU comes in microseconds.
std::string thousandths(uint64_t value) {
  return fmt::format("{}.{:03}", value / 1000, value % 1000);
}

void run(const Options& options, const Globals& globals) {
  std::string path = "/v1/usage" + query({{"tenant", globals.tenant},
                                          {"function", options.function},
                                          {"since", time_parameter("--since", options.since)},
                                          {"until", time_parameter("--until", options.until)}});
  show_list(
      globals, path,
      {{{"DAY (UTC)"}, "day", {}},
       {{"TENANT"}, "tenant", {}},
       {{"FUNCTION"}, "function", {}},
       {{"CALLS", Align::kRight},
        "",
        [](const Json& r) { return human_count(number(r, "calls")); }},
       {{"BILLED", Align::kRight}, "billed_ms", {}},
       {{"GB-S", Align::kRight}, "", [](const Json& r) { return thousandths(number(r, "gb_ms")); }},
       {{"CPU-S", Align::kRight},
        "",
        [](const Json& r) { return thousandths(number(r, "cpu_us") / 1000); }},
       {{"IN", Align::kRight}, "in_bytes", {}},
       {{"OUT", Align::kRight}, "out_bytes", {}},
       {{"ERRORS"}, "", errors_of}},
      "no calls in that time");
}

}  // namespace

void add_usage(CLI::App& app, const Globals& globals) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "usage",
      "Show what was used per day, tenant and function (all tenants unless --tenant is given)");
  command->add_option("--function", options->function, "Only this function")->type_name("FUNCTION");
  command->add_option("--since", options->since, kTimeHelp)->type_name("TIME");
  command->add_option("--until", options->until, "Up to this time, written like --since")
      ->type_name("TIME");
  command->callback([options, &globals] { run(*options, globals); });
}

}  // namespace hearth::cli
