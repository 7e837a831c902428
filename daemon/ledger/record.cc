// SPDX-License-Identifier: Apache-2.0
#include "daemon/ledger/record.h"

#include <iterator>
#include <limits>

namespace hearth::ledger {
namespace {

constexpr const char* kOutcomes[] = {
    "ok",           "function_error",  "crashed",      "bad_reply",          "out_of_memory",
    "cpu_exceeded", "output_exceeded", "log_exceeded", "processes_exceeded", "tmp_exceeded",
    "timeout",      "cancelled",       "load_error",   "interrupted"};
constexpr const char* kTriggers[] = {"cli", "http"};
constexpr const char* kStarts[] = {"warm", "generic", "cold"};
constexpr const char* kSources[] = {"none", "peak_reset", "peak_lifetime", "polled"};

template <typename Enum, size_t size>
const char* name_in(const char* const (&names)[size], Enum value) {
  auto index = static_cast<size_t>(value);
  return index < size ? names[index] : "unknown";
}

template <typename Enum, size_t size>
bool find_in(const char* const (&names)[size], std::string_view name, Enum* out) {
  for (size_t i = 0; i < size; i++) {
    if (name != names[i]) continue;
    *out = static_cast<Enum>(i);
    return true;
  }
  return false;
}

uint64_t add_saturated(uint64_t a, uint64_t b) {
  return a > std::numeric_limits<uint64_t>::max() - b ? std::numeric_limits<uint64_t>::max()
                                                      : a + b;
}

}  // namespace

static_assert(std::size(kOutcomes) == kOutcomeCount);
static_assert(std::size(kTriggers) == static_cast<size_t>(Trigger::kHttp) + 1);
static_assert(std::size(kStarts) == static_cast<size_t>(Start::kCold) + 1);
static_assert(std::size(kSources) == static_cast<size_t>(MemorySource::kPolled) + 1);

const char* name_of(Outcome outcome) {
  return name_in(kOutcomes, outcome);
}
const char* name_of(Trigger trigger) {
  return name_in(kTriggers, trigger);
}
const char* name_of(Start start) {
  return name_in(kStarts, start);
}
const char* name_of(MemorySource source) {
  return name_in(kSources, source);
}

bool parse_name(std::string_view name, Outcome* out) {
  return find_in(kOutcomes, name, out);
}
bool parse_name(std::string_view name, Trigger* out) {
  return find_in(kTriggers, name, out);
}
bool parse_name(std::string_view name, Start* out) {
  return find_in(kStarts, name, out);
}
bool parse_name(std::string_view name, MemorySource* out) {
  return find_in(kSources, name, out);
}

void bill(Record& record) {
  uint64_t us = add_saturated(record.run_us, record.init_us);
  record.billed_ms = us / 1000 + (us % 1000 != 0);
  // Split at 1024 ms so that the product cannot overflow: billed_ms < 2^55, memory_mb < 2^32.
  uint64_t whole = record.billed_ms / 1024, rest = record.billed_ms % 1024;
  uint64_t whole_gb_ms = 0;
  if (__builtin_mul_overflow(whole, uint64_t{record.memory_mb}, &whole_gb_ms)) {
    whole_gb_ms = std::numeric_limits<uint64_t>::max();
  }
  record.gb_ms = add_saturated(whole_gb_ms, (rest * record.memory_mb + 1023) / 1024);
}

}  // namespace hearth::ledger
