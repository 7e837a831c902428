// SPDX-License-Identifier: Apache-2.0
#include "cli/units.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <chrono>
#include <ctime>

namespace hearth::cli {
namespace {

std::string three_digits(double value) {
  if (value < 10) return fmt::format("{:.2f}", value);
  if (value < 100) return fmt::format("{:.1f}", value);
  return fmt::format("{:.0f}", value);
}

std::optional<uint64_t> parse_number(std::string_view text) {
  uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<uint64_t> seconds_of_unit(char unit) {
  switch (unit) {
    case 's':
      return 1;
    case 'm':
      return 60;
    case 'h':
      return 3600;
    case 'd':
      return 86400;
    case 'w':
      return 7 * 86400;
    default:
      return std::nullopt;
  }
}

std::optional<uint64_t> parse_calendar(const std::string& text) {
  for (const char* format : {"%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%MZ",
                             "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d"}) {
    std::tm time{};
    const char* end = ::strptime(text.c_str(), format, &time);
    if (!end || *end != '\0') continue;
    int day = time.tm_mday;
    std::time_t seconds = ::timegm(&time);
    if (seconds < 0 || time.tm_mday != day)
      return std::nullopt;  // before 1970, or the 31st of a short month
    return static_cast<uint64_t>(seconds) * 1'000'000;
  }
  return std::nullopt;
}

}  // namespace

std::string human_bytes(uint64_t bytes) {
  constexpr std::array kUnits{"KiB", "MiB", "GiB", "TiB", "PiB"};
  if (bytes < 1024) return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  while (value >= 999.5 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  return fmt::format("{} {}", three_digits(value), kUnits[unit]);
}

std::string human_us(uint64_t microseconds) {
  if (microseconds < 1000) return fmt::format("{} us", microseconds);
  if (microseconds < 999'500) return three_digits(static_cast<double>(microseconds) / 1e3) + " ms";
  if (microseconds < 60'000'000)
    return three_digits(static_cast<double>(microseconds) / 1e6) + " s";
  return human_seconds(microseconds / 1'000'000);
}

std::string human_seconds(uint64_t seconds) {
  if (seconds < 60) return fmt::format("{} s", seconds);
  if (seconds < 3600) return fmt::format("{} min {} s", seconds / 60, seconds % 60);
  if (seconds < 86400) return fmt::format("{} h {} min", seconds / 3600, seconds % 3600 / 60);
  return fmt::format("{} d {} h", seconds / 86400, seconds % 86400 / 3600);
}

std::string human_count(uint64_t count) {
  std::string digits = std::to_string(count);
  for (size_t i = digits.size(); i > 3;) digits.insert(i -= 3, 1, ' ');
  return digits;
}

std::string human_time(std::string_view rfc3339) {
  if (rfc3339.size() < 19 || rfc3339[10] != 'T') return std::string(rfc3339);
  std::string text(rfc3339.substr(0, 19));
  text[10] = ' ';
  return text;
}

std::optional<uint64_t> parse_time(std::string_view text, uint64_t now) {
  if (text.empty()) return std::nullopt;
  if (std::optional<uint64_t> unit = seconds_of_unit(text.back())) {
    std::optional<uint64_t> count = parse_number(text.substr(0, text.size() - 1));
    if (!count || *count > 1'000'000'000) return std::nullopt;
    uint64_t back = *count * *unit;
    return back > now / 1'000'000 ? 0 : now - back * 1'000'000;
  }
  if (std::optional<uint64_t> number = parse_number(text)) {
    if (text.size() < 10 || *number > 253'402'300'799)
      return std::nullopt;  // the year 9999 ends there
    return *number * 1'000'000;
  }
  return parse_calendar(std::string(text));
}

uint64_t now_us() {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(
                                   std::chrono::system_clock::now().time_since_epoch())
                                   .count());
}

}  // namespace hearth::cli
