// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include "daemon/ledger/ledger.h"

namespace hearth::ledger {

// A folder of its own for each test, removed afterwards.
class InFolder : public ::testing::Test {
 protected:
  InFolder() {
    std::string name = std::filesystem::temp_directory_path() / "hearth-ledger-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    folder_ = name;
  }
  ~InFolder() override { std::filesystem::remove_all(folder_); }

  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  Ledger::Options options() const {
    Ledger::Options options;
    options.database_path = path("ledger.db");
    options.table_path = path("inflight");
    options.slots = 64;
    return options;
  }

  std::string folder_;
};

constexpr uint64_t kNoon = 1'763'899'200'000'000;  // 2025-11-23T12:00:00Z

inline Record a_record(const char* tenant = "default", const char* function = "thumb") {
  Record r;
  r.id = Ulid::make();
  std::strncpy(r.tenant, tenant, sizeof(r.tenant) - 1);
  std::strncpy(r.function, function, sizeof(r.function) - 1);
  r.version = 3;
  r.trigger = Trigger::kHttp;
  r.outcome = Outcome::kOk;
  r.start = Start::kWarm;
  r.memory_source = MemorySource::kPeakReset;
  r.received_at_us = kNoon;
  r.queue_us = 11;
  r.init_us = 12;
  r.run_us = 1300;
  r.total_us = 1400;
  r.memory_mb = 128;
  r.memory_peak_bytes = 15 << 20;
  r.cpu_user_us = 900;
  r.cpu_system_us = 100;
  r.throttled_us = 17;
  r.in_bytes = 18;
  r.out_bytes = 19;
  r.log_bytes = 20;
  r.sandbox = 21;
  bill(r);
  return r;
}

inline void run_call(Ledger& ledger, const Record& final) {
  Slot* slot = ledger.claim(final);
  ASSERT_NE(slot, nullptr);
  ledger.record(slot) = final;
  ledger.finish(slot);
}

// Everything a user can see of a record. The recovery's own fields are not kept.
inline void expect_same(const Record& a, const Record& b) {
  EXPECT_EQ(a.id, b.id);
  EXPECT_STREQ(a.tenant, b.tenant);
  EXPECT_STREQ(a.function, b.function);
  EXPECT_EQ(a.version, b.version);
  EXPECT_EQ(a.trigger, b.trigger);
  EXPECT_EQ(a.outcome, b.outcome);
  EXPECT_EQ(a.start, b.start);
  EXPECT_EQ(a.memory_source, b.memory_source);
  EXPECT_EQ(a.limits_best_effort, b.limits_best_effort);
  EXPECT_EQ(a.received_at_us, b.received_at_us);
  EXPECT_EQ(a.queue_us, b.queue_us);
  EXPECT_EQ(a.init_us, b.init_us);
  EXPECT_EQ(a.run_us, b.run_us);
  EXPECT_EQ(a.total_us, b.total_us);
  EXPECT_EQ(a.billed_ms, b.billed_ms);
  EXPECT_EQ(a.gb_ms, b.gb_ms);
  EXPECT_EQ(a.memory_mb, b.memory_mb);
  EXPECT_EQ(a.memory_peak_bytes, b.memory_peak_bytes);
  EXPECT_EQ(a.cpu_user_us, b.cpu_user_us);
  EXPECT_EQ(a.cpu_system_us, b.cpu_system_us);
  EXPECT_EQ(a.throttled_us, b.throttled_us);
  EXPECT_EQ(a.in_bytes, b.in_bytes);
  EXPECT_EQ(a.out_bytes, b.out_bytes);
  EXPECT_EQ(a.log_bytes, b.log_bytes);
}

}  // namespace hearth::ledger
