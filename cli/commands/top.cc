// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "cli/commands.h"
#include "cli/failure.h"
#include "cli/output.h"
#include "cli/show.h"
#include "cli/units.h"

namespace hearth::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr uint64_t kDayUs = 86400ull * 1'000'000;

struct Options {
  uint32_t interval_s = 2;
};

// What is known of one function: counters since midnight (UTC), sandboxes now.
struct Line {
  uint64_t calls = 0, cpu_us = 0, errors = 0;
  uint64_t ready = 0, running = 0, waiting = 0;
};
using Name = std::pair<std::string, std::string>;  // tenant, function

struct Sample {
  Clock::time_point at;
  Json status;
  std::map<Name, Line> lines;
};

Sample take(const Globals& globals) {
  Sample sample{Clock::now(), globals.client().get("/v1/status"), {}};
  std::string today = std::to_string(now_us() / kDayUs * kDayUs);
  for (const Json& row :
       globals.client().get("/v1/usage" + query({{"tenant", globals.tenant}, {"since", today}}))) {
    Line& line = sample.lines[{word(row, "tenant"), word(row, "function")}];
    line.calls += number(row, "calls");
    line.cpu_us += number(row, "cpu_us");
    auto errors = row.find("errors");
    if (errors == row.end() || !errors->is_object()) continue;
    for (const Json& count : *errors)
      line.errors += count.is_number_unsigned() ? count.get<uint64_t>() : 0;
  }
  auto functions = sample.status.find("functions");
  if (functions == sample.status.end() || !functions->is_array()) return sample;
  for (const Json& row : *functions) {
    if (!globals.tenant.empty() && word(row, "tenant") != globals.tenant) continue;
    Line& line = sample.lines[{word(row, "tenant"), word(row, "name")}];
    line.ready = number(row, "ready");
    line.running = number(row, "running");
    line.waiting = number(row, "waiting");
  }
  return sample;
}

// Counters only rise; a smaller one belongs to a new day.
double rate(uint64_t before, uint64_t after, double seconds) {
  return after < before || seconds <= 0 ? 0 : static_cast<double>(after - before) / seconds;
}

std::string headline(const Json& status) {
  Json sandboxes = status.value("sandboxes", Json::object());
  Json limits = status.value("limits", Json::object());
  return fmt::format(
      "hearthd {}, up {}, limits {}; sandboxes: {} ready, {} running, {} starting, {} generic; {} "
      "of {}; "
      "{} calls waiting\n",
      cell(status, "version"), cell(status, "uptime_s"), cell(limits, "mode"),
      number(sandboxes, "ready"), number(sandboxes, "running"), number(sandboxes, "starting"),
      number(sandboxes, "generic"), human_bytes(number(sandboxes, "memory_bytes")),
      human_bytes(number(sandboxes, "memory_bytes_max")), number(sandboxes, "waiting"));
}

void write_table(const Sample& before, const Sample& now) {
  double seconds = std::chrono::duration<double>(now.at - before.at).count();
  out().write(headline(now.status));
  Table table(out(), {{"TENANT"},
                      {"FUNCTION"},
                      {"CALLS/S", Align::kRight},
                      {"CPU %", Align::kRight},
                      {"READY", Align::kRight},
                      {"RUNNING", Align::kRight},
                      {"WAITING", Align::kRight},
                      {"CALLS TODAY", Align::kRight},
                      {"ERRORS", Align::kRight}});
  for (const auto& [name, line] : now.lines) {
    auto found = before.lines.find(name);
    Line old = found == before.lines.end() ? Line{} : found->second;
    table.add({name.first, name.second, fmt::format("{:.1f}", rate(old.calls, line.calls, seconds)),
               fmt::format("{:.1f}", rate(old.cpu_us, line.cpu_us, seconds) / 1e4),
               std::to_string(line.ready), std::to_string(line.running),
               std::to_string(line.waiting), human_count(line.calls), human_count(line.errors)});
  }
  table.finish();
}

void write_json(const Sample& before, const Sample& now) {
  double seconds = std::chrono::duration<double>(now.at - before.at).count();
  Json functions = Json::array();
  for (const auto& [name, line] : now.lines) {
    auto found = before.lines.find(name);
    Line old = found == before.lines.end() ? Line{} : found->second;
    functions.push_back(Json{{"tenant", name.first},
                             {"function", name.second},
                             {"calls_per_s", rate(old.calls, line.calls, seconds)},
                             {"cpu_percent", rate(old.cpu_us, line.cpu_us, seconds) / 1e4},
                             {"ready", line.ready},
                             {"running", line.running},
                             {"waiting", line.waiting},
                             {"calls_today", line.calls},
                             {"errors_today", line.errors}});
  }
  show_json(Json{{"status", now.status}, {"functions", functions}});
}

void run(const Options& options, const Globals& globals) {
  Sample before = take(globals);
  std::this_thread::sleep_for(std::chrono::seconds(1));
  bool once = globals.json || !out().is_terminal();
  for (;;) {
    Sample now = take(globals);
    if (globals.json) return write_json(before, now);
    if (!once) out().write("\033[H\033[2J");
    write_table(before, now);
    if (once) return;
    out().flush();
    before = std::move(now);
    std::this_thread::sleep_for(std::chrono::seconds(options.interval_s));
  }
}

}  // namespace

void add_top(CLI::App& app, const Globals& globals) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "top",
      "Watch functions, sandboxes and rates (once, over one second, when stdout is no terminal)");
  command->add_option("--interval", options->interval_s, "Seconds between two pictures")
      ->type_name("N")
      ->check(CLI::Range(1u, 3600u))
      ->capture_default_str();
  command->callback([options, &globals] { run(*options, globals); });
}

}  // namespace hearth::cli
