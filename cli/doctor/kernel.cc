// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cstdio>

#include "cli/doctor/doctor.h"

namespace hearth::cli::doctor {
namespace {

struct Version {
  int major = 0, minor = 0;
  auto operator<=>(const Version&) const = default;
};

Finding kernel_version(const std::string& release) {
  Version version;
  if (std::sscanf(release.c_str(), "%d.%d", &version.major, &version.minor) != 2) {
    return {"kernel", Level::kWarn, fmt::format("'{}' is no version that can be read", release),
            "Hearth needs Linux 5.14", "run a kernel of your distribution"};
  }
  if (version < Version{5, 14}) {
    return {"kernel", Level::kFail, fmt::format("Linux {}", release),
            "cgroup.kill came with 5.14: without it no deadline can be kept",
            "apt-get install linux-image-amd64, then reboot"};
  }
  if (version < Version{5, 19}) {
    return {"kernel", Level::kWarn, fmt::format("Linux {}", release),
            "memory.peak came with 5.19: records will have no peak memory",
            "apt-get install linux-image-amd64, then reboot"};
  }
  if (version < Version{6, 12}) {
    return ok("kernel",
              fmt::format("Linux {}; memory peaks are those since a sandbox's start, for 6.12 "
                          "and later they are per call",
                          release));
  }
  return ok("kernel", fmt::format("Linux {}", release));
}

Finding user_namespaces(const Host& host) {
  std::optional<std::string> text = host.read("/proc/sys/user/max_user_namespaces");
  if (!text) {
    return {"user namespaces", Level::kFail, "the kernel has none",
            "each sandbox has one of its own, with its own block of ids",
            "run a kernel with CONFIG_USER_NS (Debian's has it)"};
  }
  unsigned long most = std::strtoul(text->c_str(), nullptr, 10);
  if (most < 512) {
    return {"user namespaces", most == 0 ? Level::kFail : Level::kWarn,
            fmt::format("at most {}", most), "each sandbox needs one",
            "sysctl -w user.max_user_namespaces=15000"};
  }
  std::string note;
  if (host.read("/proc/sys/kernel/unprivileged_userns_clone") == "0" ||
      host.read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1")
    note = "; closed to unprivileged accounts, which is fine: hearth-spawner is privileged";
  return ok("user namespaces", fmt::format("at most {}{}", most, note));
}

Finding pid_limit(const Host& host) {
  unsigned long most =
      std::strtoul(host.read("/proc/sys/kernel/pid_max").value_or("32768").c_str(), nullptr, 10);
  if (most >= 65536) return ok("process ids", fmt::format("{}", most));
  return {"process ids", Level::kWarn, fmt::format("at most {}", most),
          "256 sandboxes of 64 processes each would use half of them",
          "sysctl -w kernel.pid_max=4194304"};
}

}  // namespace

Findings check_kernel(const Host& host, const std::string& release) {
  return {kernel_version(release), user_namespaces(host), pid_limit(host)};
}

}  // namespace hearth::cli::doctor
