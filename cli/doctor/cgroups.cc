// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <sstream>

#include "cli/doctor/doctor.h"

namespace hearth::cli::doctor {
namespace {

struct Controller {
  const char* name;
  const char* limits;   // what it enforces
  const char* instead;  // what --limits=best-effort does
};
constexpr std::array kControllers{
    Controller{"memory", "memory_mb and peak memory",
               "memory is sampled, and a sandbox above its limit is killed"},
    Controller{"pids", "processes_max", "RLIMIT_NPROC, and sampled counts"},
    Controller{"cpu", "cpu_percent and fair shares", "CPU time is metered, its rate has no cap"},
};

std::vector<std::string> words(const std::string& text) {
  std::stringstream stream(text);
  std::vector<std::string> list;
  for (std::string word; stream >> word;) list.push_back(word);
  return list;
}

// Which hierarchies hold a controller that the v2 one lacks.
bool is_on_v1(const Host& host, const std::string& controller) {
  std::stringstream lines(host.read("/proc/self/mountinfo").value_or(""));
  for (std::string line; std::getline(lines, line);) {
    if (line.find(" - cgroup ") == std::string::npos) continue;
    std::string options = line.substr(line.rfind(' ') + 1);
    std::replace(options.begin(), options.end(), ',', ' ');
    std::vector<std::string> names = words(options);
    if (std::find(names.begin(), names.end(), controller) != names.end()) return true;
  }
  return false;
}

std::string how_to_mend(const Host& host, const std::string& controller) {
  if (is_on_v1(host, controller)) {
    return "boot with systemd.unified_cgroup_hierarchy=1 on the kernel's command line (it is on a "
           "v1 hierarchy now), or "
           "start hearthd with --limits=best-effort";
  }
  return fmt::format(
      "remove cgroup_disable={} from the kernel's command line, or delegate it from the host when "
      "this "
      "is a container (Delegate=yes), or start hearthd with --limits=best-effort",
      controller);
}

Finding controller_finding(const Host& host, const Controller& controller, bool available,
                           bool best_effort) {
  std::string check = fmt::format("cgroup controller {}", controller.name);
  if (available) return ok(check, fmt::format("available: enforces {}", controller.limits));
  return {
      check, best_effort ? Level::kWarn : Level::kFail,
      best_effort ? "missing; hearthd runs with --limits=best-effort"
                  : "missing; hearthd refuses to start with --limits=strict",
      fmt::format("it enforces {}; best effort means: {}", controller.limits, controller.instead),
      how_to_mend(host, controller.name)};
}

// Not needed to start: most functions are given no such limit.
Finding reads(const Host& host, const std::vector<std::string>& available, const Daemon& daemon) {
  const std::string check = "limits on disk reads";
  const std::string why =
      "io_mb_per_s and io_reads_per_s cannot be enforced: strict limits refuse them, with best "
      "effort a function reads as fast as the disk";
  if (daemon.reads.starts_with("none: ")) {
    return {check, Level::kWarn, daemon.reads.substr(6), why,
            "run with strict limits, put the state folder on a plain file system (ext4, xfs) of a "
            "disk, and give hearthd the "
            "controller io (Delegate=yes)"};
  }
  if (!daemon.reads.empty()) return ok(check, daemon.reads);
  if (std::find(available.begin(), available.end(), "io") != available.end())
    return ok(check, "the controller io is available; hearthd says of which disks once it runs");
  return {check, Level::kWarn, "no cgroup controller io", why, how_to_mend(host, "io")};
}

// Of the unit's own cgroup once it runs under systemd.
Finding delegation(const Host& host, const std::string& mount) {
  std::string unit = mount + "/system.slice/hearthd.service";
  std::optional<std::string> given = host.read(unit + "/cgroup.controllers");
  if (!given) return ok("delegation", "no hearthd.service runs; its unit asks for Delegate=yes");
  std::vector<std::string> names = words(*given);
  for (const Controller& controller : kControllers) {
    if (std::find(names.begin(), names.end(), controller.name) == names.end()) {
      return {"delegation", Level::kFail, fmt::format("hearthd.service is given: {}", *given),
              fmt::format("without {} its limits cannot be enforced", controller.name),
              "systemctl edit hearthd.service, add [Service] Delegate=yes, restart it"};
    }
  }
  return ok("delegation", fmt::format("hearthd.service is given: {}", *given));
}

}  // namespace

Findings check_cgroups(const Host& host, const Daemon& daemon) {
  std::string mount = cgroup_mount(host);
  if (mount.empty()) {
    return {
        {"cgroup v2", Level::kFail, "not mounted",
         "every sandbox lives in a cgroup of its own: it is killed and metered by it",
         "mount -t cgroup2 none /sys/fs/cgroup, or boot with systemd.unified_cgroup_hierarchy=1"}};
  }
  Findings findings{ok("cgroup v2", "mounted at " + mount)};
  std::vector<std::string> available = words(host.read(mount + "/cgroup.controllers").value_or(""));
  for (const Controller& controller : kControllers) {
    bool there = std::find(available.begin(), available.end(), controller.name) != available.end();
    findings.push_back(controller_finding(host, controller, there, daemon.best_effort()));
  }
  findings.push_back(reads(host, available, daemon));
  findings.push_back(delegation(host, mount));
  return findings;
}

}  // namespace hearth::cli::doctor
