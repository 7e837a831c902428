// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

namespace hearth::ledger {

// 128 bits: 48 of Unix milliseconds, 80 random; as text 26 characters of Crockford base 32, in
// order of time.
struct Ulid {
  std::array<uint8_t, 16> bytes{};
  // The text without an allocation.
  struct Characters {
    std::array<char, 26> of;
    operator std::string_view() const { return {of.data(), of.size()}; }
  };
  Characters characters() const;
  uint64_t unix_ms() const;  // when it was made
  std::string text() const { return std::string(characters()); }
  static Ulid make();  // monotonic within a millisecond
  static bool parse(const std::string& text, Ulid* out);
  auto operator<=>(const Ulid&) const = default;
};

// The lowest id made at or after that time.
Ulid first_ulid_of(uint64_t unix_us);

enum class Outcome : uint8_t {
  kOk = 0,
  kFunctionError,
  kCrashed,
  kBadReply,
  kOutOfMemory,
  kCpuExceeded,
  kOutputExceeded,
  kLogExceeded,
  kProcessesExceeded,
  kTmpExceeded,
  kTimeout,
  kCancelled,
  kLoadError,
  kInterrupted,
};
constexpr size_t kOutcomeCount = static_cast<size_t>(Outcome::kInterrupted) + 1;
const char* name_of(Outcome outcome);  // "ok", "function_error", …: the words of the API
enum class Trigger : uint8_t { kCli = 0, kHttp };
enum class Start : uint8_t { kWarm = 0, kGeneric, kCold };
// kPeakReset: memory.peak of this call; kPeakLifetime: since the sandbox's start; kPolled:
// best-effort mode.
enum class MemorySource : uint8_t { kNone = 0, kPeakReset, kPeakLifetime, kPolled };
const char* name_of(Trigger trigger);
const char* name_of(Start start);
const char* name_of(MemorySource source);  // "none", "peak_reset", "peak_lifetime", "polled"
bool parse_name(std::string_view name, Outcome* out);  // false: no such word
bool parse_name(std::string_view name, Trigger* out);
bool parse_name(std::string_view name, Start* out);
bool parse_name(std::string_view name, MemorySource* out);

// The metering of one call. Plain integers with fixed widths: it lives in the in-flight table,
// which is a file.
struct Record {
  Ulid id;
  char tenant[64] = {};
  char function[64] = {};
  uint32_t version = 0;
  Trigger trigger = Trigger::kCli;
  Outcome outcome = Outcome::kInterrupted;
  Start start = Start::kCold;
  MemorySource memory_source = MemorySource::kNone;
  uint8_t limits_best_effort = 0;
  uint64_t received_at_us = 0;  // Unix
  uint64_t queue_us = 0, init_us = 0, run_us = 0, total_us = 0;
  uint64_t billed_ms = 0;  // ceil((run + init) / 1000)
  uint64_t gb_ms = 0;      // memory_mb * billed_ms / 1024, rounded up
  uint32_t memory_mb = 0;
  uint64_t memory_peak_bytes = 0;
  uint64_t cpu_user_us = 0, cpu_system_us = 0, throttled_us = 0;
  uint64_t in_bytes = 0, out_bytes = 0, log_bytes = 0;
  // For recovery: where the sandbox's counters are and where they stood at dispatch.
  uint64_t sandbox = 0;
  uint64_t cpu_user_base_us = 0, cpu_system_base_us = 0;
};

inline std::string_view text_of(const char (&field)[64]) {
  return {field, ::strnlen(field, sizeof(field))};
}
inline std::pair<std::string_view, std::string_view> names_of(const Record& record) {
  return {text_of(record.tenant), text_of(record.function)};
}

// Rounded up.
inline uint64_t gb_ms_of(uint64_t mb_ms) {
  return mb_ms / 1024 + (mb_ms % 1024 != 0);
}

// Fills billed_ms and gb_ms from run, init and memory_mb.
void bill(Record& record);

}  // namespace hearth::ledger
