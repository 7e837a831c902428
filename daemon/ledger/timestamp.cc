// SPDX-License-Identifier: Apache-2.0
#include "daemon/ledger/timestamp.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

namespace hearth::ledger {
namespace {

using std::chrono::days;
using std::chrono::sys_days;

constexpr uint64_t kLastUs = 253'402'300'799'999'999;  // 9999-12-31T23:59:59.999999Z

std::chrono::year_month_day date_of(uint64_t unix_us) {
  return sys_days(days(static_cast<int>(std::min(unix_us, kLastUs) / kDayUs)));
}

// Reads `size` decimal digits at `at` and moves it; -1 when there is anything else.
int read_digits(std::string_view text, size_t* at, size_t size) {
  int value = 0;
  for (size_t i = 0; i < size; i++) {
    char c = text[(*at)++];
    if (c < '0' || c > '9') return -1;
    value = value * 10 + (c - '0');
  }
  return value;
}

}  // namespace

uint64_t now_us() {
  using std::chrono::microseconds;
  auto since_1970 = std::chrono::system_clock::now().time_since_epoch();
  auto us = std::chrono::duration_cast<microseconds>(since_1970).count();
  return us < 0 ? 0 : static_cast<uint64_t>(us);
}

std::string day_of(uint64_t unix_us) {
  auto date = date_of(unix_us);
  return fmt::format("{:04}-{:02}-{:02}", int(date.year()), unsigned(date.month()),
                     unsigned(date.day()));
}

std::string rfc3339(uint64_t unix_us) {
  uint64_t in_day = std::min(unix_us, kLastUs) % kDayUs;
  uint64_t seconds = in_day / 1'000'000;
  return fmt::format("{}T{:02}:{:02}:{:02}.{:06}Z", day_of(unix_us), seconds / 3600,
                     seconds / 60 % 60, seconds % 60, in_day % 1'000'000);
}

bool parse_rfc3339(std::string_view text, uint64_t* unix_us) {
  constexpr std::string_view kShape = "0000-00-00T00:00:00.000000Z";
  if (text.size() != kShape.size()) return false;
  int parts[7] = {};
  size_t at = 0, part = 0;
  while (at < kShape.size()) {
    if (kShape[at] != '0') {
      if (text[at] != kShape[at]) return false;
      at++;
      continue;
    }
    size_t end = kShape.find_first_not_of('0', at);
    parts[part] = read_digits(text, &at, end - at);
    if (parts[part++] < 0) return false;
  }
  using namespace std::chrono;
  year_month_day date{year(parts[0]), month(unsigned(parts[1])), day(unsigned(parts[2]))};
  if (!date.ok() || parts[0] < 1970 || parts[3] > 23 || parts[4] > 59 || parts[5] > 59)
    return false;
  int64_t seconds = sys_days(date).time_since_epoch().count() * int64_t{86'400};
  seconds += (parts[3] * 60 + parts[4]) * 60 + parts[5];
  *unix_us = static_cast<uint64_t>(seconds) * 1'000'000 + static_cast<uint64_t>(parts[6]);
  return true;
}

}  // namespace hearth::ledger
