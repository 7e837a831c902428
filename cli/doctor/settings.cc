// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <sstream>

#include "cli/doctor/doctor.h"

namespace hearth::cli::doctor {
namespace {

Finding core_dumps(const Host& host) {
  std::string pattern = host.read("/proc/sys/kernel/core_pattern").value_or("");
  if (!pattern.starts_with('@'))  // Linux 6.16
    return ok("core dumps", fmt::format("'{}'; a crash in a sandbox makes none", pattern));
  return {"core dumps", Level::kWarn, fmt::format("sent to the socket '{}'", pattern.substr(1, 60)),
          "whoever listens there hears of crashes in sandboxes, whatever their limit on cores, and "
          "that work is billed to nobody",
          "sysctl -w kernel.core_pattern=core"};
}

Finding ptrace(const Host& host) {
  std::optional<std::string> scope = host.read("/proc/sys/kernel/yama/ptrace_scope");
  if (scope && *scope != "0")
    return ok("ptrace", fmt::format("kernel.yama.ptrace_scope is {}", *scope));
  return {"ptrace", Level::kWarn,
          scope ? "every process may trace those of its own account" : "the kernel has no Yama",
          "a second wall only: sandboxes cannot trace by their filter, but other programs of the "
          "account hearth could trace "
          "hearthd",
          scope ? "sysctl -w kernel.yama.ptrace_scope=1"
                : "run a kernel with CONFIG_SECURITY_YAMA (Debian's has it)"};
}

Finding hidden_processes(const Host& host) {
  std::stringstream lines(host.read("/proc/self/mountinfo").value_or(""));
  for (std::string line; std::getline(lines, line);) {
    if (line.find(" /proc ") == std::string::npos || line.find(" - proc ") == std::string::npos)
      continue;
    if (line.find("hidepid=") != std::string::npos && line.find("hidepid=0") == std::string::npos) {
      return {"/proc of the host", Level::kWarn, "mounted with hidepid",
              "hearthd, which is not root, cannot read the memory of its sandboxes where it must "
              "sample it",
              "mount -o remount,hidepid=0 /proc, or use gid= with the group hearth"};
    }
  }
  return ok("/proc of the host", "readable; each sandbox has its own, with only its own processes");
}

Finding io_uring(const Host& host) {
  std::optional<std::string> disabled = host.read("/proc/sys/kernel/io_uring_disabled");
  if (disabled && *disabled == "2") return ok("io_uring", "switched off");
  return ok("io_uring",
            "on for the host; the filter keeps it from sandboxes, and Hearth uses none");
}

Finding same_page_merging(const Host& host) {
  if (host.read("/sys/kernel/mm/ksm/run").value_or("0") == "0")
    return ok("same-page merging", "off");
  return {"same-page merging", Level::kWarn, "on",
          "the time of a write tells a tenant what others have in memory",
          "echo 2 > /sys/kernel/mm/ksm/run"};
}

Finding links(const Host& host) {
  std::string missing;
  for (const char* name : {"protected_symlinks", "protected_hardlinks"})
    if (host.read(std::string("/proc/sys/fs/") + name).value_or("1") == "0")
      missing += std::string(missing.empty() ? "" : " ") + name;
  if (missing.empty()) return ok("links in shared folders", "protected");
  return {"links in shared folders", Level::kWarn, missing + " off",
          "programs of the host that write to /tmp can be led astray by other accounts, hearth's "
          "among them",
          "sysctl -w fs.protected_symlinks=1 fs.protected_hardlinks=1"};
}

Finding vulnerabilities(const Host& host) {
  std::vector<std::string> names;
  std::error_code error;
  std::string folder = "/sys/devices/system/cpu/vulnerabilities";
  for (const auto& entry : std::filesystem::directory_iterator(host.path(folder), error)) {
    std::string name = entry.path().filename();
    if (host.read(folder + "/" + name).value_or("").starts_with("Vulnerable"))
      names.push_back(name);
  }
  if (names.empty()) return ok("processor", "no known leak is open");
  std::sort(names.begin(), names.end());
  return {"processor", Level::kWarn, fmt::format("open: {}", fmt::join(names, ", ")),
          "tenants share processors; an open leak may let one read another's memory",
          "apt-get install amd64-microcode intel-microcode, remove mitigations=off from the "
          "kernel's command line, reboot"};
}

Finding hyperthreads(const Host& host) {
  if (host.read("/sys/devices/system/cpu/smt/active").value_or("0") == "0")
    return ok("hyper-threads", "off or none");
  return {"hyper-threads", Level::kWarn, "on",
          "two tenants on one core share its caches and slow each other down, so CPU times vary "
          "and leaks are nearer",
          "echo off > /sys/devices/system/cpu/smt/control (or nosmt on the kernel's command line), "
          "if tenants distrust each other"};
}

// Said on every host: the kernel has nothing against it, so there is nothing to mend.
Finding shared_files() {
  return ok("files that sandboxes share",
            "locks on files of an image or a runtime, and how fast they are read, show in every "
            "sandbox that has them; no kernel prevents it (see THREAT_MODEL.md)");
}

Finding swap(const Host& host) {
  std::string text = host.read("/proc/swaps").value_or("");
  if (text.find('\n') == std::string::npos) return ok("swap", "none");
  return {
      "swap", Level::kWarn, "on",
      "the daemon, and without the memory controller sandboxes too, may be swapped out: calls take "
      "seconds, and memory of tenants lies on disk",
      "swapoff -a and take it out of /etc/fstab"};
}

Finding huge_pages(const Host& host) {
  std::string text = host.read("/sys/kernel/mm/transparent_hugepage/enabled").value_or("[never]");
  if (text.find("[always]") == std::string::npos) return ok("transparent huge pages", text);
  return {"transparent huge pages", Level::kWarn, "always",
          "a process forked per call copies 2 MiB for a byte that it writes: calls are slower and "
          "peaks larger",
          "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled"};
}

Finding filter_compiler(const Host& host) {
  if (host.read("/proc/sys/net/core/bpf_jit_enable").value_or("1") != "0")
    return ok("filter compiler", "on");
  return {"filter compiler", Level::kWarn, "off",
          "system-call filters are interpreted: sandboxes and calls are slower",
          "sysctl -w net.core.bpf_jit_enable=1"};
}

// In a cgroup with the controller cpu the kernel has no such groups.
Finding scheduling_groups(const Host& host) {
  constexpr const char* kCheck = "scheduling by session";
  if (host.read("/proc/sys/kernel/sched_autogroup_enabled").value_or("0") == "0")
    return ok(kCheck, "off");
  std::stringstream controllers(host.read("/sys/fs/cgroup/cgroup.controllers").value_or(""));
  for (std::string name; controllers >> name;)
    if (name == "cpu") return ok(kCheck, "on, but not for sandboxes: they are in cgroups");
  return {kCheck, Level::kWarn, "on, and no cgroup controller cpu",
          "each call is a session, and so a group that competes by itself: under load one in a "
          "hundred waits 100 ms",
          "sysctl -w kernel.sched_autogroup_enabled=0"};
}

}  // namespace

Findings check_isolation(const Host& host) {
  return {core_dumps(host),      ptrace(host),       hidden_processes(host),
          io_uring(host),        links(host),        same_page_merging(host),
          vulnerabilities(host), hyperthreads(host), shared_files()};
}

Findings check_timing(const Host& host) {
  return {swap(host), huge_pages(host), filter_compiler(host), scheduling_groups(host)};
}

}  // namespace hearth::cli::doctor
