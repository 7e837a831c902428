// SPDX-License-Identifier: Apache-2.0
#include "daemon/runtime.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "sandbox/frame.h"

namespace hearth::daemon {
namespace control = sandbox::control;
using registry::Runtime;
namespace {

constexpr const char* kTaskDir = "/var/task";

std::map<std::string, std::string> base_environment() {
  return {{"PATH", "/usr/local/bin:/usr/bin:/bin"},
          {"HOME", "/tmp"},
          {"TMPDIR", "/tmp"},
          {"LANG", "C.UTF-8"},
          {"TZ", "UTC"}};
}

std::map<std::string, std::string> environment_of(const registry::Version& version) {
  const registry::Manifest& manifest = version.manifest;
  std::map<std::string, std::string> env = base_environment();
  // A thread pool larger than the CPU share only adds throttling.
  std::string threads = fmt::format("{}", std::max(1u, (manifest.cpu_percent + 99) / 100));
  for (const char* name : {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS",
                           "GOMAXPROCS", "UV_THREADPOOL_SIZE", "RAYON_NUM_THREADS"}) {
    env[name] = threads;
  }
  env["AWS_LAMBDA_FUNCTION_NAME"] = manifest.name;
  env["AWS_LAMBDA_FUNCTION_VERSION"] = fmt::format("{}", version.number);
  env["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] = fmt::format("{}", manifest.memory_mb);
  env["LAMBDA_TASK_ROOT"] = kTaskDir;
  env["_HANDLER"] = manifest.handler;
  env["HEARTH_TENANT"] = version.tenant;
  for (const auto& [name, value] : manifest.env) env[name] = value;
  return env;
}

std::vector<std::string> as_list(const std::map<std::string, std::string>& env) {
  std::vector<std::string> list;
  for (const auto& [name, value] : env) list.push_back(fmt::format("{}={}", name, value));
  return list;
}

std::vector<std::string> argv_of(Runtime runtime, const std::string& handler) {
  switch (runtime) {
    case Runtime::kPython3:
      return {"/usr/bin/python3", "-I", "/var/runtime/python/bootstrap.py"};
    case Runtime::kNodejs:
      return {"/usr/bin/node", "/var/runtime/nodejs/bootstrap.cjs"};
    case Runtime::kExec:
    case Runtime::kNative:
      break;
  }
  return {fmt::format("{}/{}", kTaskDir, handler)};
}

}  // namespace

std::string image_of(const registry::Manifest& manifest, const std::string& default_image) {
  if (!manifest.image.empty()) return manifest.image;
  if (!default_image.empty()) return default_image;
  switch (manifest.runtime) {
    case Runtime::kPython3:
      return "python3";
    case Runtime::kNodejs:
      return "nodejs";
    case Runtime::kExec:
    case Runtime::kNative:
      break;
  }
  return "minimal";
}

bool is_framed(Runtime runtime) {
  return runtime != Runtime::kExec;
}

bool wants_json(Runtime runtime) {
  return runtime == Runtime::kPython3 || runtime == Runtime::kNodejs;
}

bool starts_generic(const registry::Manifest& manifest) {
  if (!wants_json(manifest.runtime)) return false;
  if (manifest.tmp_mb != registry::Manifest{}.tmp_mb) return false;  // /tmp has its size from birth
  return std::none_of(manifest.env.begin(), manifest.env.end(), [](const auto& entry) {
    for (const char* prefix : {"LD_", "PYTHON", "NODE_", "MALLOC_", "GLIBC_TUNABLES"}) {
      if (entry.first.starts_with(prefix)) return true;
    }
    return false;
  });
}

control::Role role_of(const registry::Manifest& manifest) {
  bool zygote =
      manifest.runtime == Runtime::kPython3 && manifest.reuse == registry::Reuse::kSandbox;
  return zygote ? control::Role::kZygote : control::Role::kServer;
}

control::Start generic_start(Runtime runtime, control::Role role) {
  control::Start start;
  start.role = role;
  start.argv = argv_of(runtime, {});
  start.env = as_list(base_environment());
  return start;
}

control::Start start_of(const registry::Version& version) {
  const registry::Manifest& manifest = version.manifest;
  control::Start start;
  start.stdio = is_framed(manifest.runtime) ? control::Stdio::kFramed : control::Stdio::kRaw;
  start.role = role_of(manifest);
  start.argv = argv_of(manifest.runtime, manifest.handler);
  start.env = as_list(environment_of(version));
  return start;
}

std::string load_meta(const registry::Version& version) {
  const registry::Manifest& manifest = version.manifest;
  std::string meta;
  using sandbox::frame::append_meta;
  append_meta(meta, "handler", manifest.handler);
  append_meta(meta, "mode", role_of(manifest) == control::Role::kZygote ? "sandbox" : "process");
  append_meta(meta, "processes_max",
              fmt::format("{}", sandbox::process_rlimit(manifest.processes_max)));
  append_meta(meta, "task_dir", kTaskDir);
  for (const auto& [name, value] : environment_of(version)) append_meta(meta, "env:" + name, value);
  return meta;
}

}  // namespace hearth::daemon
