// SPDX-License-Identifier: Apache-2.0
#include "daemon/ledger/record_json.h"

#include <fmt/format.h>

#include <iterator>

#include "daemon/ledger/timestamp.h"

namespace hearth::ledger {
namespace {

// Collects `"name":value` pairs between braces.
class Object {
 public:
  Object& text(std::string_view name, std::string_view value) {
    begin(name);
    out_ += '"';
    for (unsigned char c : value) {
      if (c == '"' || c == '\\') out_ += '\\';
      // Names are checked where they are made; a byte that is no ASCII text can only be damage.
      if (c < 0x20 || c >= 0x7f)
        fmt::format_to(std::back_inserter(out_), "\\u{:04x}", c);
      else
        out_ += static_cast<char>(c);
    }
    out_ += '"';
    return *this;
  }
  Object& number(std::string_view name, uint64_t value) {
    begin(name);
    fmt::format_to(std::back_inserter(out_), "{}", value);
    return *this;
  }
  Object& raw(std::string_view name, std::string_view json) {
    begin(name);
    out_ += json;
    return *this;
  }
  std::string end() {
    out_ += '}';
    return std::move(out_);
  }

 private:
  void begin(std::string_view name) {
    if (out_.size() > 1) out_ += ',';
    fmt::format_to(std::back_inserter(out_), "\"{}\":", name);
  }
  std::string out_ = "{";
};

}  // namespace

std::string to_json(const Record& record) {
  return Object()
      .text("id", record.id.text())
      .text("tenant", text_of(record.tenant))
      .text("function", text_of(record.function))
      .number("version", record.version)
      .text("trigger", name_of(record.trigger))
      .text("outcome", name_of(record.outcome))
      .text("start", name_of(record.start))
      .text("received_at", rfc3339(record.received_at_us))
      .number("received_at_us", record.received_at_us)
      .number("queue_us", record.queue_us)
      .number("init_us", record.init_us)
      .number("run_us", record.run_us)
      .number("total_us", record.total_us)
      .number("billed_ms", record.billed_ms)
      .number("gb_ms", record.gb_ms)
      .number("memory_mb", record.memory_mb)
      .number("memory_peak_bytes", record.memory_peak_bytes)
      .text("memory_peak_source", name_of(record.memory_source))
      .number("cpu_user_us", record.cpu_user_us)
      .number("cpu_system_us", record.cpu_system_us)
      .number("throttled_us", record.throttled_us)
      .number("in_bytes", record.in_bytes)
      .number("out_bytes", record.out_bytes)
      .number("log_bytes", record.log_bytes)
      .text("limits", record.limits_best_effort != 0 ? "best-effort" : "strict")
      .end();
}

std::string to_json(const Usage& usage) {
  Object errors;
  for (const auto& [kind, count] : usage.by_outcome) errors.number(kind, count);
  return Object()
      .text("tenant", usage.tenant)
      .text("function", usage.function)
      .text("day", usage.day)
      .number("calls", usage.calls)
      .number("billed_ms", usage.billed_ms)
      .number("gb_ms", usage.gb_ms)
      .number("cpu_us", usage.cpu_us)
      .number("in_bytes", usage.in_bytes)
      .number("out_bytes", usage.out_bytes)
      .raw("errors", errors.end())
      .end();
}

}  // namespace hearth::ledger
