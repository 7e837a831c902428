// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "sandbox/spec.h"

namespace hearth::sandbox {

// What the spawner enforces, fixed when it is started (as its arguments), before hearthd gave up
// its privileges.
struct SpawnerPolicy {
  std::string state_dir;
  std::string init_path;     // hearth-init
  std::string runtimes_dir;  // mounted read-only at /var/runtime
  std::string cgroup_base;   // absolute; made if missing
  LimitsMode mode = LimitsMode::kStrict;
  bool host_image = false;  // may the image "host" be used?
  uint32_t subid_base = 0x70000000;
  uint32_t subid_blocks = 4096;  // sandboxes alive at once
  Limits limits_max;             // no request may exceed these
  // The disks that sandboxes read from, as "8:0,254:16"; empty: reads cannot be limited here.
  std::string io_devices;
};

inline constexpr uint32_t kSubidBlocksMax = 16384;

// hearth-spawner's arguments, argv[0] not among them.
std::vector<std::string> to_arguments(const SpawnerPolicy& policy);

struct BadPolicy {
  std::string message;  // "--subid-base: not a number"
};
std::variant<SpawnerPolicy, BadPolicy> parse_arguments(std::span<const std::string> arguments);

// The limit that no sandbox may have, by name and value, or nullptr: below what a sandbox can live
// with (a tmpfs of size 0 would be unlimited) or above the policy's maximum.
struct BrokenLimit {
  const char* name = nullptr;
  uint64_t value = 0, bound = 0;
};
BrokenLimit check_limits(const Limits& limits, const Limits& limits_max);

}  // namespace hearth::sandbox
