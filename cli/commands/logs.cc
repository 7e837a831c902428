// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/failure.h"
#include "cli/output.h"
#include "cli/rows.h"
#include "cli/show.h"
#include "cli/text.h"

namespace hearth::cli {
namespace {

struct Options {
  std::string name, call;
  uint32_t limit = 1000;
  bool follow = false;
};

// "2025-01-31 12:00:00.123  CALL  err  text"
void write_entry(std::string_view line, bool with_call) {
  Json entry = Json::parse(line, nullptr, false);
  if (!entry.is_object())
    throw Failure(Status::kRefused, "hearthd sent a log entry that is no JSON object");
  std::string time = word(entry, "time").substr(0, 23);
  if (time.size() > 10 && time[10] == 'T') time[10] = ' ';
  std::string stream = word(entry, "stream");
  if (stream.starts_with("std")) stream.erase(0, 3);
  std::string text = word(entry, "text");
  while (!text.empty() && text.back() == '\n') text.pop_back();
  out().write(fmt::format("{}  {}{}{:<8}  {}\n", one_line(time),
                          with_call ? one_line(word(entry, "call")) : "", with_call ? "  " : "",
                          one_line(stream), escape_controls(text, "\t")));
}

// A list is one array; what is followed has no end, so it stays one object per line.
void run(const Options& options, const Globals& globals) {
  Request request;
  request.path = globals.functions_path(options.name, "/logs") +
                 query({{"follow", options.follow ? "1" : ""},
                        {"call", options.call},
                        {"limit", std::to_string(options.limit)}});
  if (options.follow) request.timeout = std::chrono::seconds(0);
  bool array = globals.json && !options.follow;
  size_t entries = 0;
  LineSplitter lines([&](std::string_view line) {
    if (globals.json) {
      out().write(array ? (entries == 0 ? "[" : ",") : "");
      out().write(line);
      out().write(array ? "" : "\n");
    } else {
      write_entry(line, options.call.empty());
    }
    ++entries;
  });
  request.on_body = [&](std::string_view bytes) {
    lines.feed(bytes);
    if (options.follow) out().flush();
  };
  globals.client().request(request);
  lines.finish();
  if (array) out().write(entries == 0 ? "[]\n" : "]\n");
}

}  // namespace

void add_logs(CLI::App& app, const Globals& globals) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("logs", "Show what a function wrote to stdout and stderr");
  command->add_option("FUNCTION", options->name, "The function")->required()->type_name("");
  command->add_flag("-f,--follow", options->follow, "Stay and show what comes, until interrupted");
  command->add_option("--call", options->call, "Only this call")->type_name("ID");
  command->add_option("--limit", options->limit, "At most so many lines, the last ones")
      ->type_name("N")
      ->check(CLI::Range(1u, 10000u))
      ->capture_default_str();
  command->callback([options, &globals] { run(*options, globals); });
}

}  // namespace hearth::cli
