// SPDX-License-Identifier: Apache-2.0
#include "daemon/ledger/ledger.h"

#include <poll.h>

#include <chrono>
#include <cstdio>
#include <thread>

#include "daemon/ledger/timestamp.h"
#include "sandbox/sys/error.h"
#include "tests/unit/ledger/fixture.h"

namespace hearth::ledger {
namespace {

class LedgerTest : public InFolder {};

TEST_F(LedgerTest, ReturnsEachFieldOfARecordAsItWasWritten) {
  Record written = a_record();
  written.limits_best_effort = 1;
  Ledger ledger(options());
  ledger.start();
  run_call(ledger, written);
  std::optional<Record> read = ledger.call(written.id);
  ASSERT_TRUE(read.has_value());
  expect_same(*read, written);
  EXPECT_FALSE(ledger.call(Ulid::make()).has_value());
}

TEST_F(LedgerTest, KeepsRecordsOverARestart) {
  Record first = a_record(), second = a_record();
  {
    Ledger ledger(options());
    ledger.start();
    run_call(ledger, first);
  }
  Ledger ledger(options());
  EXPECT_EQ(ledger.found().filled, 0u);
  ledger.start();
  run_call(ledger, second);
  std::vector<Record> all = ledger.calls({});
  ASSERT_EQ(all.size(), 2u);
  expect_same(all[0], second);  // newest first
  expect_same(all[1], first);
}

TEST_F(LedgerTest, CommitsWhatWasFinishedBeforeTheThreadStarted) {
  Record record = a_record();
  Ledger ledger(options());
  run_call(ledger, record);
  ledger.start();
  EXPECT_TRUE(ledger.call(record.id).has_value());
}

TEST_F(LedgerTest, TakesTheSlotThatWasUsedLast) {
  Ledger ledger(options());
  ledger.start();
  Slot* first = ledger.claim(a_record());
  ledger.finish(first);
  for (int i = 0; i < 100; i++) {
    ledger.flush();
    Slot* slot = ledger.claim(a_record());
    ASSERT_EQ(slot, first) << "every other slot stays untouched, and its page with it";
    ledger.finish(slot);
  }
}

TEST_F(LedgerTest, AWholeGroupWakesTheThreadFromALongNap) {
  Ledger::Options roomy = options();
  roomy.slots = 32768;
  Ledger ledger(roomy);
  ledger.start();
  // When nothing comes it naps for 50, 100, 200, 400 and 800 ms, and then a second each time.
  std::this_thread::sleep_for(std::chrono::milliseconds(1650));
  for (int i = 0; i < 3000; i++) ledger.finish(ledger.claim(a_record()));
  auto begin = std::chrono::steady_clock::now();
  while (ledger.slots_waiting() > 1000) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(600));
}

TEST_F(LedgerTest, LeavesNoRecordOfADroppedCall) {
  Ledger ledger(options());
  ledger.start();
  for (int i = 0; i < 1000; i++) {
    Slot* slot = ledger.claim(a_record());
    ASSERT_NE(slot, nullptr) << "a dropped slot is free again";
    ledger.drop(slot);
  }
  EXPECT_TRUE(ledger.calls({}).empty());
  EXPECT_EQ(ledger.slots_used(), 0u);
}

TEST_F(LedgerTest, GivesNoMoreSlotsThanThereAre) {
  Ledger ledger(options());
  ledger.start();
  std::vector<Slot*> taken;
  for (int i = 0; i < 64; i++) taken.push_back(ledger.claim(a_record()));
  EXPECT_NE(taken.back(), nullptr);
  EXPECT_EQ(ledger.claim(a_record()), nullptr);
  EXPECT_EQ(ledger.slots_used(), 64u);
  for (Slot* slot : taken) ledger.finish(slot);
  ledger.flush();
  EXPECT_EQ(ledger.slots_used(), 0u);
  EXPECT_EQ(ledger.slots_waiting(), 0u);
  Slot* again = ledger.claim(a_record());
  EXPECT_NE(again, nullptr);
  ledger.drop(again);
}

TEST_F(LedgerTest, UsesASmallTableOverAndOver) {
  Ledger ledger(options());
  ledger.start();
  for (int i = 0; i < 5000; i++) {
    Record record = a_record();
    Slot* slot = nullptr;
    // A full table wakes the thread; a caller in the daemon would refuse the call meanwhile.
    while ((slot = ledger.claim(record)) == nullptr) ledger.flush();
    ledger.finish(slot);
  }
  Query all;
  all.limit = kOutcomeCount * 1000;
  EXPECT_EQ(ledger.calls(all).size(), 5000u);
}

TEST_F(LedgerTest, CallsBackAtOnceWhenOnlyTheProcessMayDie) {
  Ledger ledger(options());
  ledger.start();
  Slot* slot = ledger.claim(a_record());
  int called = 0;
  ledger.when_committed(slot, [&] { called++; });
  EXPECT_EQ(called, 0);
  ledger.finish(slot);
  EXPECT_EQ(called, 1);
  ledger.flush();
  ledger.poll();
  EXPECT_EQ(called, 1);
}

TEST_F(LedgerTest, CallsBackAfterTheCommitWhenTheHostMayDie) {
  Ledger::Options host = options();
  host.durability = Durability::kHost;
  Ledger ledger(host);
  ledger.start();
  for (int i = 0; i < 200; i++) {
    Slot* slot = ledger.claim(a_record());
    ASSERT_NE(slot, nullptr);
    bool called = false;
    ledger.when_committed(slot, [&] { called = true; });
    ledger.finish(slot);
    EXPECT_FALSE(called);
    pollfd readable{ledger.notify_fd(), POLLIN, 0};
    ASSERT_EQ(::poll(&readable, 1, 10'000), 1) << "the thread must not wait for more calls";
    ledger.poll();
    EXPECT_TRUE(called);
  }
}

TEST_F(LedgerTest, FiltersAndBoundsTheListOfCalls) {
  Ledger ledger(options());
  ledger.start();
  uint64_t base = now_us();
  std::vector<Record> records;
  for (int i = 0; i < 40; i++) {
    Record r = a_record(i % 2 ? "a" : "b", i % 4 < 2 ? "f" : "g");
    if (i % 5 == 0) r.outcome = Outcome::kTimeout;
    r.received_at_us = base + static_cast<uint64_t>(i);
    records.push_back(r);
    run_call(ledger, r);
    if (i == 31) ledger.flush();
  }
  Query query;
  EXPECT_EQ(ledger.calls(query).size(), 40u);
  query.tenant = "a";
  EXPECT_EQ(ledger.calls(query).size(), 20u);
  query.function = "g";
  EXPECT_EQ(ledger.calls(query).size(), 10u);
  query.outcome = "timeout";
  EXPECT_EQ(ledger.calls(query).size(), 2u);
  query = {};
  query.since_us = base + 10;
  query.until_us = base + 20;
  std::vector<Record> some = ledger.calls(query);
  ASSERT_EQ(some.size(), 10u);
  EXPECT_EQ(some.front().id, records[19].id);
  EXPECT_EQ(some.back().id, records[10].id);
  query = {};
  query.limit = 7;
  some = ledger.calls(query);
  ASSERT_EQ(some.size(), 7u);
  EXPECT_EQ(some.back().id, records[33].id);
  query.limit = 0;
  EXPECT_TRUE(ledger.calls(query).empty());
  query = {};
  query.tenant = "a' OR '1'='1";
  EXPECT_TRUE(ledger.calls(query).empty());
}

TEST_F(LedgerTest, UsageIsTheSumOfTheRecords) {
  Ledger ledger(options());
  ledger.start();
  for (int i = 0; i < 60; i++) {
    Record r = a_record("t", i % 2 ? "f" : "g");
    r.received_at_us = kNoon + static_cast<uint64_t>(i % 3) * 86'400'000'000;
    r.outcome = i % 10 == 1   ? Outcome::kOutOfMemory
                : i % 10 == 3 ? Outcome::kTimeout
                              : Outcome::kOk;
    run_call(ledger, r);
  }
  std::vector<Usage> rows = ledger.usage({});
  ASSERT_EQ(rows.size(), 6u);  // two functions, three days
  uint64_t calls = 0, timeouts = 0, memory = 0;
  for (const Usage& row : rows) {
    calls += row.calls;
    EXPECT_EQ(row.billed_ms, row.calls * 2);
    // 2 ms at 128 MB are a quarter of a GB-ms each, which four calls share.
    EXPECT_EQ(row.gb_ms, (row.calls * 2 * 128 + 1023) / 1024);
    EXPECT_EQ(row.cpu_us, row.calls * 1000);
    EXPECT_EQ(row.in_bytes, row.calls * 18);
    EXPECT_EQ(row.out_bytes, row.calls * 19);
    for (const auto& [kind, count] : row.by_outcome) {
      EXPECT_NE(kind, "ok");
      (kind == "timeout" ? timeouts : memory) += count;
    }
  }
  EXPECT_EQ(calls, 60u);
  EXPECT_EQ(timeouts, 6u);
  EXPECT_EQ(memory, 6u);
  EXPECT_EQ(rows[0].function, "f");
  EXPECT_EQ(rows[0].day, "2025-11-23");
  EXPECT_EQ(rows[2].day, "2025-11-25");

  Query query;
  query.function = "g";
  query.since_us = kNoon + 86'400'000'000;
  query.until_us = kNoon + 2 * 86'400'000'000 - kNoon % 86'400'000'000;  // midnight: not that day
  EXPECT_EQ(ledger.usage(query).size(), 1u);
}

TEST_F(LedgerTest, NumbersBeyondAllReasonDoNotStopTheLedger) {
  Ledger ledger(options());
  ledger.start();
  for (int i = 0; i < 3; i++) {
    Record r = a_record();
    r.run_us = r.cpu_user_us = r.in_bytes = r.received_at_us = UINT64_MAX;
    bill(r);
    r.gb_ms = UINT64_MAX;
    run_call(ledger, r);
  }
  EXPECT_EQ(ledger.calls({}).size(), 3u);
  EXPECT_TRUE(ledger.healthy()) << ledger.error();
  std::vector<Usage> rows = ledger.usage({});
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0].in_bytes, 3 * (uint64_t{1} << 47));
  EXPECT_EQ(rows[0].day, "9999-12-31");
}

TEST_F(LedgerTest, DeletesOldRecordsAndKeepsTheirUsage) {
  Ledger::Options week = options();
  week.keep_days = 7;
  Record fresh = a_record();
  fresh.received_at_us = now_us();
  {
    Ledger ledger(options());
    ledger.start();
    for (uint64_t i = 0; i < 60; i++) {
      Record old = a_record();
      old.id = first_ulid_of(now_us() - 8 * 86'400'000'000 + i * 1000);
      run_call(ledger, old);
    }
    run_call(ledger, fresh);
  }
  Ledger ledger(week);
  ledger.start();
  auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (ledger.calls({}).size() > 1 && std::chrono::steady_clock::now() < until) ::usleep(1000);
  std::vector<Record> left = ledger.calls({});
  ASSERT_EQ(left.size(), 1u);
  EXPECT_EQ(left[0].id, fresh.id);
  uint64_t calls = 0;
  for (const Usage& row : ledger.usage({})) calls += row.calls;
  EXPECT_EQ(calls, 61u);
}

TEST_F(LedgerTest, ClockThatStepsBackNeitherReordersNorLosesRecords) {
  Ledger ledger(options());
  ledger.start();
  Record before = a_record(), after = a_record();
  before.received_at_us = now_us();
  after.received_at_us = before.received_at_us - 3'600'000'000;
  run_call(ledger, before);
  run_call(ledger, after);
  std::vector<Record> all = ledger.calls({});
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].id, after.id);
  Query query;
  query.since_us = after.received_at_us - 1;
  query.until_us = after.received_at_us + 1;
  all = ledger.calls(query);
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].id, after.id);
}

TEST_F(LedgerTest, SaysWhichDatabaseIsDamaged) {
  std::ofstream(path("ledger.db")) << std::string(8192, 'x');
  try {
    Ledger ledger(options());
    FAIL() << "opened a file that is no database";
  } catch (const sys::Error& error) {
    EXPECT_NE(std::string(error.what()).find("ledger.db"), std::string::npos) << error.what();
  }
}

TEST_F(LedgerTest, CommitsManyRecordsInGroups) {
  Ledger::Options large = options();
  large.slots = 8192;
  Ledger ledger(large);
  ledger.start();
  constexpr int kCount = 100'000;
  Record record = a_record();
  auto begin = std::chrono::steady_clock::now();
  std::chrono::nanoseconds hot{0};
  for (int i = 0; i < kCount; i++) {
    record.id = Ulid::make();
    auto start = std::chrono::steady_clock::now();
    Slot* slot = nullptr;
    while ((slot = ledger.claim(record)) == nullptr) {
      ::usleep(200);
      start = std::chrono::steady_clock::now();
    }
    ledger.finish(slot);
    hot += std::chrono::steady_clock::now() - start;
  }
  ledger.flush();
  std::chrono::duration<double> all = std::chrono::steady_clock::now() - begin;
  std::printf("[ measured ] %.0f records/s into the database; claim + finish %.0f ns\n",
              kCount / all.count(), static_cast<double>(hot.count()) / kCount);
  std::vector<Usage> rows = ledger.usage({});
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0].calls, static_cast<uint64_t>(kCount));
}

}  // namespace
}  // namespace hearth::ledger
