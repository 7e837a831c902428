// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <string>

#include "cli/failure.h"
#include "cli/units.h"

namespace hearth::cli {

inline constexpr const char* kTimeHelp =
    "From this time on: a duration back from now (90s, 15m, 2h, 7d), a day (2025-01-31), a time in "
    "UTC "
    "(2025-01-31T12:00:00Z) or Unix seconds";

// The value of a time option as the API takes it; empty stays empty. Throws Failure when it is
// none.
inline std::string time_parameter(const char* option, const std::string& text) {
  if (text.empty()) return {};
  std::optional<uint64_t> time = parse_time(text, now_us());
  if (!time) {
    throw Failure(
        Status::kUsage,
        fmt::format("{}: '{}' is no time; write a duration (90s, 15m, 2h, 7d), a day (2025-01-31), "
                    "a time (2025-01-31T12:00:00Z) or Unix seconds",
                    option, text));
  }
  return std::to_string(*time);
}

}  // namespace hearth::cli
