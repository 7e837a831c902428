// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

// Numbers as people read and write them.
namespace hearth::cli {

std::string human_bytes(uint64_t bytes);      // "512 B", "1.5 KiB", "120 MiB"
std::string human_us(uint64_t microseconds);  // "250 us", "3.20 ms", "1.25 s", "2 min 5 s"
std::string human_seconds(uint64_t seconds);  // "45 s", "3 min 20 s", "2 h 5 min", "3 d 4 h"
std::string human_count(uint64_t count);      // "1 234 567"

// An API time (RFC 3339) as "2025-01-31 12:00:00"; other text as it is.
std::string human_time(std::string_view rfc3339);

// Unix microseconds of `text`: a duration before `now_us` (90s, 15m, 2h, 7d, 4w), a day
// (2025-01-31, UTC), a time (2025-01-31T12:00:00Z, seconds and Z optional) or Unix seconds (from 10
// digits on). nullopt: none of these.
std::optional<uint64_t> parse_time(std::string_view text, uint64_t now_us);
uint64_t now_us();

}  // namespace hearth::cli
