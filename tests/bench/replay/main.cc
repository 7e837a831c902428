// SPDX-License-Identifier: Apache-2.0
// Compares keep-alive policies on one trace: the share of cold starts against the memory that waits
// for calls. `replay --help` says how to give it another trace.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>

#include "tests/bench/replay/policy.h"

namespace hearth::replay {
namespace {

using std::chrono::minutes;

struct Options {
  Shape shape;
  std::string calls, durations, memory;
  bool json = false;
};

void print_table(const Trace& trace, const std::vector<Result>& results) {
  fmt::print("{}: {} functions, {} calls, {:.1f} hours\n\n", trace.name, trace.memory_bytes.size(),
             trace.arrivals.size(), static_cast<double>(trace.length.count()) / 3.6e9);
  fmt::print("{:18} {:16} {:>10} {:>9} {:>14} {:>10}\n", "policy", "setting", "cold", "refused",
             "idle GB", "starts");
  double length = static_cast<double>(trace.length.count()) / 1e6;
  for (const Result& r : results) {
    fmt::print("{:18} {:16} {:>9.3f}% {:>9} {:>14.2f} {:>10}\n", r.policy, r.setting,
               100 * r.cold_share(), r.refused, r.idle_gb_s / length, r.starts);
  }
}

void print_json(const Trace& trace, const std::vector<Result>& results) {
  fmt::print("{{\"trace\":\"{}\",\"functions\":{},\"calls\":{},\"hours\":{:.2f},\"rows\":[",
             trace.name, trace.memory_bytes.size(), trace.arrivals.size(),
             static_cast<double>(trace.length.count()) / 3.6e9);
  const char* separator = "";
  double length = static_cast<double>(trace.length.count()) / 1e6;
  for (const Result& r : results) {
    fmt::print(
        "{}\n{{\"policy\":\"{}\",\"setting\":\"{}\",\"cold_share\":{:.6f},\"refused\":{},"
        "\"idle_gb\":{:.4f},\"starts\":{}}}",
        separator, r.policy, r.setting, r.cold_share(), r.refused, r.idle_gb_s / length, r.starts);
    separator = ",";
  }
  fmt::print("\n]}}\n");
}

std::vector<Result> compare(const Trace& trace) {
  Host roomy;
  std::vector<Result> results;
  for (int idle : {0, 1, 5, 10, 20, 60}) results.push_back(fixed(trace, roomy, minutes(idle)));
  for (int range : {10, 60, 240}) results.push_back(hybrid_histogram(trace, roomy, minutes(range)));
  for (int idle : {2, 5, 10, 20, 60, 240})
    results.push_back(hearth_pool(trace, roomy, minutes(idle)));
  for (uint64_t gib : {16, 32, 64, 128, 256}) {
    Host bounded;
    bounded.memory_bytes_max = gib << 30;
    results.push_back(greedy_dual(trace, bounded));
    results.push_back(hearth_pool(trace, bounded, minutes(240)));
  }
  return results;
}

int run(int argc, char** argv) {
  CLI::App app("Replays a trace of calls under several keep-alive policies");
  Options options;
  app.add_option("--functions", options.shape.functions, "Generated trace: how many functions")
      ->capture_default_str();
  app.add_option("--hours", options.shape.hours, "Generated trace: how long")
      ->capture_default_str();
  app.add_option("--seed", options.shape.seed, "Generated trace: another one")
      ->capture_default_str();
  app.add_option("--azure", options.calls, "An Azure Functions trace of 2019 or 2021 instead");
  app.add_option("--azure-durations", options.durations, "2019: that day's durations");
  app.add_option("--azure-memory", options.memory, "2019: that day's memory");
  app.add_flag("--json", options.json, "One JSON object instead of a table");
  CLI11_PARSE(app, argc, argv);
  Trace trace = options.calls.empty() ? generate(options.shape)
                                      : read_azure(options.calls, options.durations, options.memory,
                                                   options.shape.seed);
  std::vector<Result> results = compare(trace);
  (options.json ? print_json : print_table)(trace, results);
  return 0;
}

}  // namespace
}  // namespace hearth::replay

int main(int argc, char** argv) {
  try {
    return hearth::replay::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "replay: %s\n", error.what());
    return 2;
  }
}
