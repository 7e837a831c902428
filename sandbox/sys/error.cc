// SPDX-License-Identifier: Apache-2.0
#include "sandbox/sys/error.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace hearth::sys {
namespace {

// Joined by hand: hearth-init links this file statically and stays free of fmt.
std::string describe(std::string_view call, std::string_view object, int code) {
  std::string text(call);
  if (!object.empty()) text.append(" '").append(object).append("'");
  return text.append(": ").append(std::strerror(code));
}

}  // namespace

Error::Error(std::string_view call, std::string_view object, int code)
    : std::runtime_error(describe(call, object, code)), call_(call), object_(object), code_(code) {}

void bug(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "hearth: bug: %s does not hold at %s:%d\n", condition, file, line);
  std::abort();
}

}  // namespace hearth::sys
