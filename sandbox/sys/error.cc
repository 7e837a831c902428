// SPDX-License-Identifier: Apache-2.0
#include "sandbox/sys/error.h"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace hearth::sys {
namespace {

std::string describe(std::string_view call, std::string_view object, int code) {
  if (object.empty()) return fmt::format("{}: {}", call, std::strerror(code));
  return fmt::format("{} '{}': {}", call, object, std::strerror(code));
}

}  // namespace

Error::Error(std::string_view call, std::string_view object, int code)
    : std::runtime_error(describe(call, object, code)), call_(call), object_(object), code_(code) {}

void bug(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "hearth: bug: %s does not hold at %s:%d\n", condition, file, line);
  std::abort();
}

}  // namespace hearth::sys
