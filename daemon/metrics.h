// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

#include "daemon/http/server.h"
#include "daemon/ledger/ledger.h"
#include "daemon/ledger/log_store.h"
#include "daemon/ledger/record.h"
#include "pool/pool.h"
#include "sandbox/spec.h"

namespace hearth::daemon {

// What hearthd counted since it started, for /metrics (Prometheus' text format) and `hearth
// status`. Loop thread only.
class Metrics {
 public:
  struct Totals {
    uint64_t calls = 0, cpu_us = 0;
  };
  // What other parts count; read when the text is made.
  struct Sources {
    pool::Pool::Counts pool;
    const ledger::Ledger& ledger;
    const http::Counters& http;
    const ledger::LogStore& logs;
    sandbox::LimitsMode limits;
  };

  void call_finished(const ledger::Record& record);
  void call_refused(std::string_view kind);

  Totals totals(const std::string& tenant, const std::string& function) const;
  std::string expose(const Sources& sources) const;

 private:
  // Upper bounds in microseconds, with one bucket beyond.
  static constexpr std::array<uint64_t, 12> kBounds = {100,     250,       500,        1'000,
                                                       5'000,   10'000,    50'000,     100'000,
                                                       500'000, 1'000'000, 10'000'000, 60'000'000};
  struct Histogram {
    std::array<uint64_t, kBounds.size() + 1> buckets{};
    uint64_t count = 0, sum_us = 0;
    void add(uint64_t us);
    void expose(std::string& out, std::string_view name, std::string_view help) const;
  };

  std::array<uint64_t, ledger::kOutcomeCount> by_outcome_{};
  std::array<uint64_t, 3> by_start_{};
  std::array<uint64_t, 2> by_trigger_{};
  Histogram run_, queue_;
  uint64_t in_bytes_ = 0, out_bytes_ = 0, log_bytes_ = 0, cpu_us_ = 0, mb_ms_ = 0;
  std::unordered_map<std::string, uint64_t> refused_;  // kinds are the program's own words
  std::unordered_map<std::string, Totals> functions_;  // "tenant/function"
  std::string function_key_;                           // its memory is used again
};

}  // namespace hearth::daemon
