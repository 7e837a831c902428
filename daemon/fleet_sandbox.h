// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <memory>
#include <string>
#include <string_view>
#include <tuple>

#include "daemon/fleet.h"
#include "daemon/runtime.h"

namespace hearth::daemon {

// What the fleet knows of one sandbox from the moment the pool wants it until it is removed.
struct Fleet::Sandbox {
  pool::SandboxId id{};
  std::string tenant, image;
  registry::Runtime runtime = registry::Runtime::kPython3;
  std::shared_ptr<const registry::Version> version;  // nullptr: generic
  uint32_t activation = 0;                           // the pool's FunctionId; 0: generic or a trial
  std::unique_ptr<Worker> worker;                    // nullptr: the spawner has not answered yet
  bool generic_started = false;                      // an interpreter without user code runs in it
  bool ready = false, calling = false;
  bool step_running = false;  // a task builds, loads or recycles it
  bool stopping = false;      // to be destroyed, now or when the step ends
  uint64_t init_us = 0;
  uint64_t calls = 0;
  Clock::time_point born = Clock::now();
};

// "tenant/image/runtime", as Fleet::add_function writes it.
inline std::tuple<std::string, std::string, registry::Runtime> split_generic_key(
    std::string_view key) {
  size_t first = key.find('/');
  size_t second = key.rfind('/');
  bool python = key.substr(second + 1) == registry::name_of(registry::Runtime::kPython3);
  return {std::string(key.substr(0, first)), std::string(key.substr(first + 1, second - first - 1)),
          python ? registry::Runtime::kPython3 : registry::Runtime::kNodejs};
}

// A manifest's limits as the sandbox's.
inline sandbox::Limits limits_of(const registry::Manifest& manifest, const sandbox::Limits& host) {
  sandbox::Limits limits = host;  // open files and file size are the host's
  limits.memory_bytes = uint64_t{manifest.memory_mb} << 20;
  limits.processes_max = manifest.processes_max;
  limits.cpu_percent = manifest.cpu_percent;
  limits.tmp_bytes = uint64_t{manifest.tmp_mb} << 20;
  return limits;
}

}  // namespace hearth::daemon
