// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

// `hearth doctor`: what this host gives Hearth. Each check looks at one thing and says what it
// found, why that matters and which command mends it. What is cheap to try is tried, not read from
// a setting.
namespace hearth::cli::doctor {

enum class Level {
  kOk,
  kWarn,  // works, but weaker, slower or less even
  kFail,  // hearthd does not work, or isolation has a hole
};

struct Finding {
  std::string check;  // a few words: what was looked at
  Level level = Level::kOk;
  std::string found;
  std::string why, fix;  // empty when all is well
};
using Findings = std::vector<Finding>;

inline Finding ok(std::string check, std::string found) {
  return {std::move(check), Level::kOk, std::move(found), {}, {}};
}

// The host's files. Tests point it at a folder that looks like a host.
class Host {
 public:
  explicit Host(std::string root = {}) : root_(std::move(root)) {}

  std::string path(const std::string& path) const { return root_ + path; }
  std::optional<std::string> read(const std::string& path) const;  // without a newline at its end
  bool exists(const std::string& path) const;

 private:
  std::string root_;
};

// What hearthd says of itself.
struct Daemon {
  std::string version;      // empty: it cannot be reached
  std::string unreachable;  // why not
  std::string limits_mode;  // "strict" or "best-effort"
  std::string state_dir;    // its own, else the one to look at
  std::string reads = {};   // how they are limited: "io.max of 8:0", or "none: " and why

  bool best_effort() const { return limits_mode == "best-effort"; }
};

Findings check_kernel(const Host& host,
                      const std::string& release);  // release: as uname(2) gives it
Findings check_cgroups(const Host& host, const Daemon& daemon);
Findings check_attempts(const Host& host);   // clones, mounts, filters: for real
Findings check_isolation(const Host& host);  // settings that weaken it
Findings check_timing(const Host& host);     // settings that make calls slower or less even
Findings check_accounts(const Host& host);
Findings check_state(const Host& host, const Daemon& daemon);
Findings check_runtimes(const Host& host);
Findings check_daemon(const Daemon& daemon);

// Where the v2 hierarchy is mounted, from mountinfo; empty when it is not.
std::string cgroup_mount(const Host& host);

}  // namespace hearth::cli::doctor
