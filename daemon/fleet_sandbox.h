// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>

#include "daemon/fleet.h"
#include "daemon/runtime.h"

namespace hearth::daemon {

// What the fleet knows of one sandbox from the moment the pool wants it until it is removed.
struct Fleet::Sandbox {
  pool::SandboxId id{};
  std::string tenant, image;
  registry::Runtime runtime = registry::Runtime::kPython3;
  sandbox::control::Role role = sandbox::control::Role::kServer;  // while it is generic
  std::shared_ptr<const registry::Version> version;               // nullptr: generic
  uint32_t activation = 0;         // the pool's FunctionId; 0: generic or a trial
  std::unique_ptr<Worker> worker;  // nullptr: the spawner has not answered yet
  bool generic_started = false;    // an interpreter without user code runs in it
  bool ready = false, calling = false;
  bool step_running = false;  // a task builds, loads or recycles it
  bool stopping = false;      // to be destroyed, now or when the step ends
  uint64_t init_us = 0;
  uint64_t calls = 0;
  uint64_t zygote_bytes = 0;  // after its first call
  Clock::time_point born = Clock::now();
};

// What generic sandboxes are told apart by. No part has a slash in it.
struct Generic {
  std::string tenant, image;
  registry::Runtime runtime = registry::Runtime::kPython3;
  sandbox::control::Role role = sandbox::control::Role::kZygote;
};

inline std::string generic_key(const Generic& generic) {
  return fmt::format("{}/{}/{}/{}", generic.tenant, generic.image,
                     registry::name_of(generic.runtime), int(generic.role));
}

inline Generic split_generic_key(std::string_view key) {
  auto next = [&key] {
    std::string part(key.substr(0, key.find('/')));
    key.remove_prefix(std::min(part.size() + 1, key.size()));
    return part;
  };
  Generic generic;
  generic.tenant = next();
  generic.image = next();
  bool python = next() == registry::name_of(registry::Runtime::kPython3);
  generic.runtime = python ? registry::Runtime::kPython3 : registry::Runtime::kNodejs;
  generic.role = sandbox::control::Role(std::stoi(next()));
  return generic;
}

// Whether its calls are served by forks of one process.
inline bool has_zygote(const registry::Manifest& manifest) {
  return manifest.runtime == registry::Runtime::kPython3 &&
         manifest.reuse == registry::Reuse::kSandbox;
}

// A manifest's limits as the sandbox's.
inline sandbox::Limits limits_of(const registry::Manifest& manifest, const sandbox::Limits& host) {
  sandbox::Limits limits = host;  // open files and file size are the host's
  limits.memory_bytes = uint64_t{manifest.memory_mb} << 20;
  limits.processes_max = manifest.processes_max;
  limits.cpu_percent = manifest.cpu_percent;
  limits.tmp_bytes = uint64_t{manifest.tmp_mb} << 20;
  // A version that was deployed while the host had no bound has what the host has now.
  if (manifest.io_mb_per_s != 0) limits.io_bytes_per_s = uint64_t{manifest.io_mb_per_s} << 20;
  if (manifest.io_reads_per_s != 0) limits.io_reads_per_s = manifest.io_reads_per_s;
  return limits;
}

}  // namespace hearth::daemon
