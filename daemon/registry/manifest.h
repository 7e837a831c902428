// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace hearth::settings {
struct KeyInfo;  // daemon/settings/reader.h
}

// function.toml, checked. function.toml(5) documents each key and its bounds.
namespace hearth::registry {

enum class Runtime { kPython3, kNodejs, kExec, kNative };
enum class Reuse { kNever, kSandbox, kProcess };
const char* name_of(Runtime runtime);
const char* name_of(Reuse reuse);

struct HttpTrigger {
  bool is_public = true;
  std::vector<std::string> methods;
  bool operator==(const HttpTrigger&) const = default;
};  // empty: any

struct Manifest {
  std::string name;
  Runtime runtime = Runtime::kPython3;
  std::string handler;
  std::string image;  // empty: the runtime's default
  uint32_t memory_mb = 128;
  uint32_t timeout_ms = 3000;
  uint32_t cpu_ms = 0;         // CPU time per call; 0: no budget besides the deadline
  uint32_t cpu_percent = 100;  // 100 is one core
  uint32_t processes_max = 64;
  uint32_t tmp_mb = 64;
  uint32_t io_mb_per_s = 0;     // read from each disk; 0: no limit, or the host's
  uint32_t io_reads_per_s = 0;  // likewise
  uint32_t output_kb = 6144;    // answer
  uint32_t log_kb = 256;        // kept per call
  Reuse reuse = Reuse::kSandbox;
  uint32_t concurrency_max = 8;
  uint32_t warm_min = 0;
  std::map<std::string, std::string> env;
  std::optional<HttpTrigger> http;
  bool exec_http_env = false;
  bool operator==(const Manifest&) const = default;
};

struct ManifestError {
  uint32_t line = 0, column = 0;
  std::string message;       // "unknown key 'memroy_mb'; did you mean 'memory_mb'?"
  std::string limit, value;  // when a bound was broken: "memory_mb<=1024", "4096"
};

// The host's bounds on what a manifest may ask (configuration).
struct ManifestBounds {
  uint32_t memory_mb_max = 1024;
  uint32_t timeout_ms_max = 900000;
  uint32_t concurrency_max = 256;
  uint32_t warm_min_max = 32;
  uint32_t processes_max = 1024;
  uint32_t tmp_mb_max = 1024;
  uint32_t output_kb_max = 6144;
  uint32_t log_kb_max = 10240;
  uint32_t env_bytes_max = 32768;  // NAME=value NUL, all together
  uint32_t cpu_percent_max = 800;
  uint32_t io_mb_per_s_max = 0, io_reads_per_s_max = 0;  // 0: none
};

inline constexpr uint32_t kMemoryMbMin = 16;  // less does not hold a runtime
inline constexpr uint32_t kIoMax = 1u << 20;  // where the host sets no bound: as good as none

// A key left out takes its default, or the host's bound where that is smaller.
std::variant<Manifest, ManifestError> parse_manifest(std::string_view text,
                                                     const ManifestBounds& bounds);

// Every key and section under the default bounds, "http.methods" for those in a section. For the
// manual's test.
std::vector<settings::KeyInfo> manifest_keys();

// [a-z0-9-]{1,63}: tenants and functions.
bool valid_name(std::string_view name);

}  // namespace hearth::registry
