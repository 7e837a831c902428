// SPDX-License-Identifier: Apache-2.0
#include "sandbox/policy.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <limits>

namespace hearth::sandbox {
namespace {

struct TextOption {
  const char* name;
  std::string SpawnerPolicy::*member;
};
constexpr std::array kTexts = {
    TextOption{"--state-dir", &SpawnerPolicy::state_dir},
    TextOption{"--init", &SpawnerPolicy::init_path},
    TextOption{"--runtimes-dir", &SpawnerPolicy::runtimes_dir},
    TextOption{"--cgroup-base", &SpawnerPolicy::cgroup_base},
};

// Reads or writes one number of a policy, whatever its width.
struct NumberOption {
  const char* name;
  uint64_t (*get)(const SpawnerPolicy&);
  void (*set)(SpawnerPolicy&, uint64_t);
  uint64_t max;
};
#define HEARTH_NUMBER(option, field)                                                       \
  NumberOption {                                                                           \
    option, [](const SpawnerPolicy& p) -> uint64_t { return p.field; },                    \
        [](SpawnerPolicy& p, uint64_t v) { p.field = static_cast<decltype(p.field)>(v); }, \
        std::numeric_limits<decltype(SpawnerPolicy{}.field)>::max()                        \
  }
const std::array kNumbers = {
    HEARTH_NUMBER("--subid-base", subid_base),
    HEARTH_NUMBER("--subid-blocks", subid_blocks),
    HEARTH_NUMBER("--memory-bytes-max", limits_max.memory_bytes),
    HEARTH_NUMBER("--processes-max", limits_max.processes_max),
    HEARTH_NUMBER("--cpu-percent-max", limits_max.cpu_percent),
    HEARTH_NUMBER("--tmp-bytes-max", limits_max.tmp_bytes),
    HEARTH_NUMBER("--open-files-max", limits_max.open_files_max),
    HEARTH_NUMBER("--file-bytes-max", limits_max.file_bytes_max),
    HEARTH_NUMBER("--io-bytes-per-s-max", limits_max.io_bytes_per_s),
    HEARTH_NUMBER("--io-reads-per-s-max", limits_max.io_reads_per_s),
};
#undef HEARTH_NUMBER

// "8:0", "8:0,254:16", or nothing.
bool are_devices(std::string_view text) {
  while (!text.empty()) {
    std::string_view device = text.substr(0, text.find(','));
    size_t colon = device.find(':');
    if (colon == std::string_view::npos) return false;
    for (std::string_view part : {device.substr(0, colon), device.substr(colon + 1)}) {
      if (part.empty() || part.find_first_not_of("0123456789") != std::string_view::npos)
        return false;
    }
    text.remove_prefix(device.size());
    if (text == ",") return false;
    if (!text.empty()) text.remove_prefix(1);
  }
  return true;
}

constexpr const char* kStrict = "strict";
constexpr const char* kBestEffort = "best-effort";

// An error message, or nothing.
std::string apply(SpawnerPolicy& policy, const std::string& name, const std::string& value) {
  for (const TextOption& option : kTexts) {
    if (name != option.name) continue;
    policy.*option.member = value;
    return {};
  }
  for (const NumberOption& option : kNumbers) {
    if (name != option.name) continue;
    uint64_t number = 0;
    const char* end = value.data() + value.size();
    auto [rest, error] = std::from_chars(value.data(), end, number);
    if (error != std::errc() || rest != end) return name + ": not a number";
    if (number > option.max) return name + ": too large";
    option.set(policy, number);
    return {};
  }
  if (name == "--io-devices") {
    policy.io_devices = value;
    return are_devices(value) ? std::string() : name + ": not a list of MAJOR:MINOR";
  }
  if (name == "--limits" && (value == kStrict || value == kBestEffort)) {
    policy.mode = value == kStrict ? LimitsMode::kStrict : LimitsMode::kBestEffort;
    return {};
  }
  return name == "--limits" ? name + ": neither strict nor best-effort" : name + ": unknown option";
}

// No limit on reading is above every limit.
uint64_t or_all(uint64_t limit) {
  return limit == 0 ? UINT64_MAX : limit;
}

// Rules that no option decides alone.
std::string check_policy(const SpawnerPolicy& policy) {
  for (const TextOption& option : kTexts) {
    const std::string& path = policy.*option.member;
    if (path.empty() || path.front() != '/') return fmt::format("{}: not absolute", option.name);
  }
  if (policy.subid_blocks == 0 || policy.subid_blocks > kSubidBlocksMax) {
    return fmt::format("--subid-blocks: not within 1 and {}", kSubidBlocksMax);
  }
  // The ids below one block are the host's own; the last id of all means "unchanged" to the kernel.
  uint64_t end = policy.subid_base + uint64_t{policy.subid_blocks} * kBlockSize;
  if (policy.subid_base < kBlockSize || end > std::numeric_limits<uint32_t>::max()) {
    return "--subid-base: the blocks must lie within 65536 and 4294967294";
  }
  if (BrokenLimit broken = check_limits(policy.limits_max, policy.limits_max); broken.name) {
    return fmt::format("{}: {} is less than {}", broken.name, broken.value, broken.bound);
  }
  return {};
}

}  // namespace

std::vector<std::string> to_arguments(const SpawnerPolicy& policy) {
  std::vector<std::string> arguments;
  for (const TextOption& option : kTexts) {
    arguments.insert(arguments.end(), {option.name, policy.*option.member});
  }
  for (const NumberOption& option : kNumbers) {
    arguments.insert(arguments.end(), {option.name, std::to_string(option.get(policy))});
  }
  if (!policy.io_devices.empty())
    arguments.insert(arguments.end(), {"--io-devices", policy.io_devices});
  arguments.insert(arguments.end(),
                   {"--limits", policy.mode == LimitsMode::kStrict ? kStrict : kBestEffort});
  if (policy.host_image) arguments.push_back("--host-image");
  return arguments;
}

std::variant<SpawnerPolicy, BadPolicy> parse_arguments(std::span<const std::string> arguments) {
  SpawnerPolicy policy;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& name = arguments[i];
    if (name == "--host-image") {
      policy.host_image = true;
      continue;
    }
    if (i + 1 == arguments.size()) return BadPolicy{name + ": unknown option or no value"};
    std::string error = apply(policy, name, arguments[++i]);
    if (!error.empty()) return BadPolicy{error};
  }
  std::string error = check_policy(policy);
  if (!error.empty()) return BadPolicy{error};
  return policy;
}

BrokenLimit check_limits(const Limits& limits, const Limits& limits_max) {
  struct Row {
    const char* name;
    uint64_t value, min, max;
  };
  const std::array<Row, 8> rows = {{
      {"memory_bytes", limits.memory_bytes, 1u << 20, limits_max.memory_bytes},
      {"processes_max", limits.processes_max, 1, limits_max.processes_max},
      {"cpu_percent", limits.cpu_percent, 1, limits_max.cpu_percent},
      {"tmp_bytes", limits.tmp_bytes, 4096, limits_max.tmp_bytes},
      {"open_files_max", limits.open_files_max, 16, limits_max.open_files_max},
      {"file_bytes_max", limits.file_bytes_max, 4096, limits_max.file_bytes_max},
      {"io_bytes_per_s", or_all(limits.io_bytes_per_s), kIoBytesPerSecondMin,
       or_all(limits_max.io_bytes_per_s)},
      {"io_reads_per_s", or_all(limits.io_reads_per_s), kIoReadsPerSecondMin,
       or_all(limits_max.io_reads_per_s)},
  }};
  for (const Row& row : rows) {
    if (row.value < row.min) return {row.name, row.value, row.min};
    if (row.value > row.max) return {row.name, row.value, row.max};
  }
  return {};
}

}  // namespace hearth::sandbox
