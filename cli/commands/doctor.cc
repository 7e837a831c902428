// SPDX-License-Identifier: Apache-2.0
#include "cli/doctor/doctor.h"

#include <fmt/format.h>
#include <sys/utsname.h>

#include <CLI/CLI.hpp>
#include <array>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/failure.h"
#include "cli/output.h"
#include "cli/show.h"
#include "cli/text.h"

namespace hearth::cli {
namespace {

using doctor::Finding;
using doctor::Findings;
using doctor::Level;

constexpr std::array kLevelNames{"ok", "warn", "FAIL"};
constexpr std::array kJsonLevels{"ok", "warn", "fail"};
constexpr std::array kColours{"\033[32m", "\033[33m", "\033[1;31m"};

doctor::Daemon ask_daemon(const Globals& globals, const std::string& state_dir) {
  doctor::Daemon daemon;
  try {
    Json status = globals.client().get("/v1/status");
    daemon.version = word(status, "version");
    daemon.state_dir = word(status, "state_dir");
    Json limits = status.value("limits", Json::object());
    daemon.limits_mode = word(limits, "mode");
    daemon.reads = word(limits, "reads");
  } catch (const Failure& failure) {
    daemon.unreachable = failure.what();
  }
  if (!state_dir.empty()) daemon.state_dir = state_dir;
  if (daemon.state_dir.empty()) daemon.state_dir = "/var/lib/hearth";
  return daemon;
}

Findings look(const doctor::Daemon& daemon) {
  doctor::Host host;
  utsname name{};
  ::uname(&name);
  Findings all;
  for (Findings some :
       {doctor::check_kernel(host, name.release), doctor::check_attempts(host),
        doctor::check_cgroups(host, daemon), doctor::check_accounts(host),
        doctor::check_state(host, daemon), doctor::check_isolation(host),
        doctor::check_timing(host), doctor::check_runtimes(host), doctor::check_daemon(daemon)})
    std::move(some.begin(), some.end(), std::back_inserter(all));
  return all;
}

void write_finding(const Finding& finding) {
  auto level = static_cast<size_t>(finding.level);
  std::string mark = fmt::format("{:<4}", kLevelNames[level]);
  if (out().is_terminal()) mark = kColours[level] + mark + "\033[0m";
  out().write(fmt::format("{}  {}: {}\n", mark, finding.check, one_line(finding.found)));
  if (finding.level == Level::kOk) return;
  out().write(fmt::format("      why: {}\n      fix: {}\n", finding.why, finding.fix));
}

void write_json(const Findings& findings, size_t failed) {
  Json checks = Json::array();
  for (const Finding& finding : findings) {
    checks.push_back(Json{{"check", finding.check},
                          {"level", kJsonLevels[static_cast<size_t>(finding.level)]},
                          {"found", finding.found},
                          {"why", finding.why},
                          {"fix", finding.fix}});
  }
  show_json(Json{{"ok", failed == 0}, {"checks", checks}});
}

void run(const std::string& state_dir, const Globals& globals) {
  Findings findings = look(ask_daemon(globals, state_dir));
  std::array<size_t, 3> count{};
  for (const Finding& finding : findings) ++count[static_cast<size_t>(finding.level)];
  if (globals.json) {
    write_json(findings, count[2]);
  } else {
    for (const Finding& finding : findings) write_finding(finding);
    out().write(fmt::format("{} ok, {} to look at, {} failed\n", count[0], count[1], count[2]));
  }
  if (count[2] > 0)
    throw Failure(Status::kRefused,
                  fmt::format("{} checks of this host failed; each says what mends it", count[2]));
}

}  // namespace

void add_doctor(CLI::App& app, const Globals& globals) {
  auto state_dir = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand(
      "doctor", "Check this host and say what to mend (sees more when run by root)");
  command
      ->add_option("--state-dir", *state_dir, "hearthd's state folder, instead of asking hearthd")
      ->type_name("DIR");
  command->callback([state_dir, &globals] { run(*state_dir, globals); });
}

}  // namespace hearth::cli
