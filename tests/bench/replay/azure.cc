// SPDX-License-Identifier: Apache-2.0
// Reads the two published traces of Azure Functions.
#include <charconv>
#include <fstream>
#include <stdexcept>
#include <string_view>
#include <unordered_map>

#include "tests/bench/replay/trace.h"

namespace hearth::replay {
namespace {

constexpr uint32_t kMinutes = 1440;

// One file of comma separated values without quotes, which neither trace uses.
class Table {
 public:
  explicit Table(const std::string& path) : path_(path), file_(path) {
    if (!file_) throw std::runtime_error(path + ": cannot be opened");
    if (!next()) throw std::runtime_error(path + ": is empty");
    header_.assign(fields_.begin(), fields_.end());
  }

  bool next() {
    if (!std::getline(file_, text_)) return false;
    ++line_;
    if (!text_.empty() && text_.back() == '\r') text_.pop_back();
    fields_.clear();
    for (size_t from = 0;;) {
      size_t comma = text_.find(',', from);
      fields_.push_back(std::string_view(text_).substr(from, comma - from));
      if (comma == std::string::npos) break;
      from = comma + 1;
    }
    if (!header_.empty() && fields_.size() != header_.size())
      fail("has " + std::to_string(fields_.size()) + " columns, the header " +
           std::to_string(header_.size()));
    return true;
  }

  // The number of the column with this name.
  size_t column(const std::string& name) const {
    for (size_t i = 0; i < header_.size(); ++i)
      if (header_[i] == name) return i;
    throw std::runtime_error(path_ + ": has no column '" + name + "'");
  }
  bool has(const std::string& name) const {
    for (const std::string& each : header_)
      if (each == name) return true;
    return false;
  }

  std::string text(size_t column) const { return std::string(fields_[column]); }
  double number(size_t column) const {
    std::string_view text = fields_[column];
    double value = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || !(value >= 0))
      fail("column " + header_[column] + ": '" + std::string(text) + "' is no number");
    return value;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw std::runtime_error(path_ + ":" + std::to_string(line_) + ": " + what);
  }
  std::string path_, text_;
  std::ifstream file_;
  size_t line_ = 0;
  std::vector<std::string> header_;
  std::vector<std::string_view> fields_;
};

Duration from_seconds(double seconds) {
  return Duration(static_cast<int64_t>(seconds * 1e6));
}

using Means = std::unordered_map<std::string, double>;

// Mean run times by function, in seconds.
Means read_durations(const std::string& path) {
  Means means;
  if (path.empty()) return means;
  Table table(path);
  size_t function = table.column("HashFunction"), average = table.column("Average");
  while (table.next()) means[table.text(function)] = table.number(average) / 1000;
  return means;
}

// By application, in MB. The trace knows no function's own.
Means read_memory(const std::string& path) {
  Means means;
  if (path.empty()) return means;
  Table table(path);
  size_t app = table.column("HashApp"), average = table.column("AverageAllocatedMb");
  while (table.next()) means[table.text(app)] = table.number(average);
  return means;
}

Trace read_2019(Table& table, const std::string& durations, const std::string& memory,
                uint64_t seed) {
  Trace trace;
  trace.length = std::chrono::hours(24);
  Published random(seed);
  Means runs = read_durations(durations), megabytes = read_memory(memory);
  size_t app = table.column("HashApp"), name = table.column("HashFunction");
  size_t first = table.column("1");
  (void)table.column(std::to_string(kMinutes));
  while (table.next()) {
    auto function = static_cast<uint32_t>(trace.memory_bytes.size());
    auto known = megabytes.find(table.text(app));
    trace.memory_bytes.push_back(known == megabytes.end()
                                     ? random.memory_bytes()
                                     : static_cast<uint64_t>(known->second * (1 << 20)) + 1);
    auto mean = runs.find(table.text(name));
    Duration run = mean == runs.end() ? random.mean_run() : from_seconds(mean->second);
    for (uint32_t minute = 0; minute < kMinutes; ++minute) {
      auto calls = static_cast<uint64_t>(table.number(first + minute));
      for (uint64_t i = 0; i < calls; ++i)
        trace.arrivals.push_back({from_seconds(60 * (minute + random.uniform())), function, run});
    }
  }
  return trace;
}

Trace read_2021(Table& table, uint64_t seed) {
  Trace trace;
  Published random(seed);
  std::unordered_map<std::string, uint32_t> functions;
  size_t app = table.column("app"), name = table.column("func");
  size_t end = table.column("end_timestamp"), duration = table.column("duration");
  while (table.next()) {
    std::string key = table.text(app) + "/" + table.text(name);
    auto [known, fresh] = functions.emplace(key, uint32_t(trace.memory_bytes.size()));
    if (fresh) trace.memory_bytes.push_back(random.memory_bytes());
    double ran = table.number(duration), ended = table.number(end);
    Duration begun = from_seconds(std::max(0.0, ended - ran));
    trace.arrivals.push_back({begun, known->second, from_seconds(ran)});
    trace.length = std::max(trace.length, from_seconds(ended));
  }
  return trace;
}

}  // namespace

Trace read_azure(const std::string& calls, const std::string& durations, const std::string& memory,
                 uint64_t seed) {
  Table table(calls);
  Trace trace = table.has("end_timestamp") ? read_2021(table, seed)
                                           : read_2019(table, durations, memory, seed);
  trace.name = calls;
  sort(trace);
  return trace;
}

}  // namespace hearth::replay
