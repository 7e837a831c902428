// SPDX-License-Identifier: Apache-2.0
#include <string_view>

#include "daemon/registry/manifest.h"
#include "sandbox/sys/error.h"

using namespace hearth::registry;

// Any text is either a manifest within its bounds or an error with a place and a message of bounded
// length.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  ManifestBounds bounds;
  auto result = parse_manifest({reinterpret_cast<const char*>(bytes), size}, bounds);
  if (auto* error = std::get_if<ManifestError>(&result)) {
    HEARTH_CHECK(error->line >= 1 && error->column >= 1 && error->line <= size + 1);
    HEARTH_CHECK(!error->message.empty() && error->message.size() < 2048);
    HEARTH_CHECK(error->message.find('\0') == std::string::npos &&
                 error->message.find('\n') == std::string::npos);
    return 0;
  }
  const auto& m = std::get<Manifest>(result);
  HEARTH_CHECK(valid_name(m.name) && !m.handler.empty() && m.handler.front() != '/');
  HEARTH_CHECK(m.handler.find('\0') == std::string::npos &&
               ("/" + m.handler + "/").find("/../") == std::string::npos);
  HEARTH_CHECK(m.image.empty() || valid_name(m.image));
  HEARTH_CHECK(m.memory_mb >= kMemoryMbMin && m.memory_mb <= bounds.memory_mb_max);
  HEARTH_CHECK(m.timeout_ms >= 1 && m.timeout_ms <= bounds.timeout_ms_max);
  HEARTH_CHECK(m.tmp_mb >= 1 && m.tmp_mb <= bounds.tmp_mb_max);
  HEARTH_CHECK(m.warm_min <= m.concurrency_max && m.concurrency_max <= bounds.concurrency_max);
  uint64_t env_bytes = 0;
  for (const auto& [name, value] : m.env) {
    HEARTH_CHECK(!name.empty() && name.find('=') == std::string::npos &&
                 !name.starts_with("HEARTH_"));
    HEARTH_CHECK(name.find('\0') == std::string::npos && value.find('\0') == std::string::npos);
    env_bytes += name.size() + value.size() + 2;
  }
  HEARTH_CHECK(env_bytes <= bounds.env_bytes_max);
  return 0;
}
