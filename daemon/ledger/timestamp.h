// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

// Points in time as Unix microseconds, and their text in UTC. The wall clock only says when
// something happened; durations are measured by the caller with a clock that does not step.
namespace hearth::ledger {

uint64_t now_us();

// `2025-11-23T21:30:45.012345Z`; always this width. Times after the year 9999 are shown as its last
// microsecond.
std::string rfc3339(uint64_t unix_us);
constexpr size_t kRfc3339Size = 27;
bool parse_rfc3339(std::string_view text, uint64_t* unix_us);  // exactly what rfc3339() writes

inline constexpr uint64_t kDayUs = 86'400'000'000;
std::string day_of(uint64_t unix_us);  // `2025-11-23`

}  // namespace hearth::ledger
