// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/show.h"
#include "cli/times.h"
#include "cli/units.h"

namespace hearth::cli {
namespace {

struct Options {
  std::string name, since, outcome;
  uint32_t limit = 20;
};

std::string cpu_of(const Json& row) {
  return human_us(number(row, "cpu_user_us") + number(row, "cpu_system_us"));
}

void run(const Options& options, const Globals& globals) {
  std::string path = "/v1/calls" + query({{"tenant", globals.tenant_name()},
                                          {"function", options.name},
                                          {"outcome", options.outcome},
                                          {"since", time_parameter("--since", options.since)},
                                          {"limit", std::to_string(options.limit)}});
  show_list(globals, path,
            {{{"ID"}, "id", {}},
             {{"RECEIVED (UTC)"}, "received_at", {}},
             {{"FUNCTION"}, "function", {}},
             {{"VERSION", Align::kRight}, "version", {}},
             {{"TRIGGER"}, "trigger", {}},
             {{"OUTCOME"}, "outcome", {}},
             {{"START"}, "start", {}},
             {{"QUEUE", Align::kRight}, "queue_us", {}},
             {{"INIT", Align::kRight}, "init_us", {}},
             {{"RUN", Align::kRight}, "run_us", {}},
             {{"BILLED", Align::kRight}, "billed_ms", {}},
             {{"CPU", Align::kRight}, "", cpu_of},
             {{"PEAK", Align::kRight}, "memory_peak_bytes", {}}},
            options.name.empty() ? fmt::format("no calls in tenant '{}'", globals.tenant_name())
                                 : fmt::format("no calls of '{}'", options.name));
}

}  // namespace

void add_calls(CLI::App& app, const Globals& globals) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("calls", "List the records of calls, the latest first");
  command->add_option("FUNCTION", options->name, "Only calls of this function")->type_name("");
  command->add_option("--limit", options->limit, "At most so many")
      ->type_name("N")
      ->check(CLI::Range(1u, 10000u))
      ->capture_default_str();
  command->add_option("--since", options->since, kTimeHelp)->type_name("TIME");
  command
      ->add_option("--outcome", options->outcome,
                   "Only calls that ended so (ok, timeout, out_of_memory, ...)")
      ->type_name("KIND");
  command->callback([options, &globals] { run(*options, globals); });
}

}  // namespace hearth::cli
