// SPDX-License-Identifier: Apache-2.0
#include "daemon/ledger/calls_db.h"

#include <algorithm>
#include <random>

#include "daemon/ledger/call_rows.h"
#include "daemon/ledger/record_block.h"
#include "daemon/sqlite/database.h"
#include "sandbox/sys/error.h"
#include "tests/unit/ledger/fixture.h"

namespace hearth::ledger {
namespace {

constexpr uint64_t kSecond = 1'000'000;

class CallsDbTest : public InFolder {
 protected:
  CallsDbTest() : db_(path("ledger.db"), Durability::kProcess) {}

  // One commit.
  void insert(const std::vector<Record>& records) {
    std::vector<const Record*> all;
    for (const Record& r : records) all.push_back(&r);
    db_.insert(all, [this] { blocks_++; });
  }
  uint64_t calls_in_usage() {
    uint64_t calls = 0;
    for (const Usage& row : db_.usage({})) calls += row.calls;
    return calls;
  }

  CallsDb db_;
  size_t blocks_ = 0;
};

// A call of that moment; `number` tells those of one millisecond apart.
Record made_at(uint64_t unix_us, uint8_t number, const char* function = "f") {
  Record r = a_record("t", function);
  r.id = first_ulid_of(unix_us);
  r.id.bytes.back() = number;
  r.received_at_us = unix_us;
  return r;
}

std::vector<Ulid> ids_of(const std::vector<Record>& records) {
  std::vector<Ulid> ids;
  for (const Record& r : records) ids.push_back(r.id);
  return ids;
}

TEST_F(CallsDbTest, ARecordThatIsThereChangesNothing) {
  std::vector<Record> first = {made_at(kNoon, 1), made_at(kNoon, 3), made_at(kNoon + kSecond, 1)};
  insert(first);
  // Between them, beside them, twice in one commit.
  insert({first[2], made_at(kNoon, 2), first[0], made_at(kNoon, 2), first[1], made_at(kNoon, 4)});
  insert(first);
  EXPECT_EQ(db_.calls({}).size(), 5u);
  EXPECT_EQ(calls_in_usage(), 5u);
  for (const Record& r : first) EXPECT_TRUE(db_.call(r.id).has_value());
  EXPECT_TRUE(db_.call(made_at(kNoon, 2).id).has_value());
  EXPECT_FALSE(db_.call(made_at(kNoon, 5).id).has_value());
}

TEST_F(CallsDbTest, ABlockIsOfOneSecondAndNotTooLong) {
  std::vector<Record> records;
  for (uint64_t ms = 0; ms < 1000; ms++) records.push_back(made_at(kNoon + ms * 1000, 0));
  records.push_back(made_at(kNoon + kSecond, 0));
  insert(records);
  EXPECT_EQ(blocks_, (1000 + kBlockRecordsMax - 1) / kBlockRecordsMax + 1);
}

// Calls that took long end among later ones.
TEST_F(CallsDbTest, ListsInTheOrderOfIdsWhateverTheOrderOfCommits) {
  std::vector<Record> records;
  for (uint64_t i = 0; i < 3000; i++) {
    records.push_back(made_at(kNoon + i * 3000, 0, i % 7 == 0 ? "rare" : "f"));
  }
  std::vector<Ulid> ids = ids_of(records);
  std::ranges::reverse(ids);
  std::ranges::shuffle(records, std::mt19937(1));
  for (size_t at = 0; at < records.size(); at += 100) {
    insert({records.begin() + static_cast<ptrdiff_t>(at),
            records.begin() + static_cast<ptrdiff_t>(at + 100)});
  }
  Query query;
  query.limit = 10'000;
  EXPECT_EQ(ids_of(db_.calls(query)), ids);
  query.limit = 1234;
  EXPECT_EQ(ids_of(db_.calls(query)), std::vector<Ulid>(ids.begin(), ids.begin() + 1234));
  query.tenant = "t";
  EXPECT_EQ(ids_of(db_.calls(query)), std::vector<Ulid>(ids.begin(), ids.begin() + 1234));
  query.function = "rare";
  std::vector<Record> rare = db_.calls(query);
  EXPECT_EQ(rare.size(), 3000u / 7 + 1);
  EXPECT_TRUE(std::ranges::is_sorted(rare, std::greater<>(), &Record::id));
  query.tenant = "another";
  EXPECT_TRUE(db_.calls(query).empty());
  for (const Ulid& id : ids) ASSERT_TRUE(db_.call(id).has_value());
}

TEST_F(CallsDbTest, DeletesWholeBlocksAndWhatFindsThem) {
  for (uint64_t s = 0; s < 10; s++) {
    insert({made_at(kNoon + s * kSecond, 1, "f"), made_at(kNoon + s * kSecond, 2, "g")});
  }
  EXPECT_EQ(db_.prune(kNoon + 6 * kSecond, 3), 4u);
  EXPECT_EQ(db_.prune(kNoon + 6 * kSecond, 1000), 8u);
  EXPECT_EQ(db_.prune(kNoon + 6 * kSecond, 1000), 0u);
  Query query;
  query.tenant = "t";
  query.function = "g";
  EXPECT_EQ(db_.calls(query).size(), 4u);
  EXPECT_EQ(calls_in_usage(), 20u);
  sqlite::Database file(path("ledger.db"), {});
  EXPECT_EQ(file.number("SELECT count(*) FROM blocks_of"), 4 * 3);
}

TEST_F(CallsDbTest, SaysWhichFileHasADamagedBlock) {
  insert({made_at(kNoon, 1)});
  sqlite::Database(path("ledger.db"), {}).exec("UPDATE blocks SET records = x'0102'");
  try {
    (void)db_.calls({});
    FAIL() << "read what is damaged";
  } catch (const sys::Error& error) {
    EXPECT_NE(std::string(error.what()).find(path("ledger.db")), std::string::npos);
    EXPECT_NE(std::string(error.what()).find("restore a copy"), std::string::npos);
    EXPECT_EQ(error.code(), EUCLEAN);
  }
}

TEST_F(CallsDbTest, ADamagedBlockGoesWhenItIsOld) {
  insert({made_at(kNoon, 1)});
  insert({made_at(kNoon + kSecond, 1)});
  insert({made_at(kNoon + 9 * kSecond, 1)});
  sqlite::Database file(path("ledger.db"), {});
  file.exec("UPDATE blocks SET records = x'0102' WHERE block = 1");
  EXPECT_EQ(db_.prune(kNoon + 2 * kSecond, 1000), 2u);
  EXPECT_EQ(db_.calls({}).size(), 1u);
  EXPECT_EQ(file.number("SELECT count(*) FROM blocks_of WHERE block < 3"), 0);
  EXPECT_EQ(file.number("SELECT count(*) FROM blocks_of"), 2);
}

// A ledger as the first Hearth left it.
class OldLedger : public InFolder {
 protected:
  static constexpr int kRows = 25'000;
  OldLedger() {
    sqlite::Database old(path("ledger.db"), {});
    const char* const steps[] = {kRowSchema};
    old.migrate(steps);
    sqlite::Transaction transaction(old);
    sqlite::Statement row = old.prepare(
        "INSERT INTO calls VALUES (?, 't', ?, 3, 'http', 'timeout', 'warm', ?, 11, 12, 1300, 1400, "
        "2, 1, 128, 15728640, 'polled', 900, 100, 17, 18, 19, 20, 1)");
    for (int i = 0; i < kRows; i++) {
      Record r = made_at(kNoon + static_cast<uint64_t>(i) * 1000, 0);
      row.run(r.id.text(), i % 2 ? "f" : "g", r.received_at_us);
    }
    old.exec("INSERT INTO usage VALUES ('t', 'f', '2025-11-23', 'timeout', 25000, 1, 2, 3, 4, 5)");
    transaction.commit();
  }
};

TEST_F(OldLedger, KeepsItsRecordsAndUsage) {
  CallsDb db(path("ledger.db"), Durability::kProcess);
  Query query;
  query.limit = 3;
  query.tenant = "t";
  query.function = "f";
  std::vector<Record> newest = db.calls(query);
  ASSERT_EQ(newest.size(), 3u);
  Record expected = made_at(kNoon + (kRows - 1) * 1000, 0);
  expected.outcome = Outcome::kTimeout;
  expected.memory_source = MemorySource::kPolled;
  expected.limits_best_effort = 1;
  expect_same(newest[0], expected);
  std::vector<Usage> usage = db.usage({});
  ASSERT_EQ(usage.size(), 1u);
  EXPECT_EQ(usage[0].calls, 25'000u);
  sqlite::Database file(path("ledger.db"), {});
  EXPECT_EQ(file.number("SELECT sum(calls) FROM blocks"), kRows);
  EXPECT_EQ(file.number("SELECT count(*) FROM sqlite_master WHERE name IN ('calls', 'rows')"), 0);
}

TEST_F(OldLedger, GoesOnWhereAKillInterruptedTheMove) {
  {
    sqlite::Database db(path("ledger.db"), {});
    const char* const steps[] = {kRowSchema, kSetRowsAside, CallBlocks::kSchema};
    db.migrate(steps);
    CallBlocks blocks(db);
    // As a move that was killed after one commit: some rows are in blocks already and gone.
    std::string later = made_at(kNoon + 15'000'000, 0).id.text();
    db.exec(("CREATE TRIGGER killed BEFORE DELETE ON rows WHEN OLD.id = '" + later +
             "' BEGIN SELECT RAISE(ABORT, 'killed'); END")
                .c_str());
    EXPECT_THROW(move_rows(db, blocks), sys::Error);
    db.exec("DROP TRIGGER killed");
    EXPECT_EQ(db.number("SELECT count(*) FROM rows"), 15'000);
    EXPECT_EQ(db.number("SELECT sum(calls) FROM blocks"), 10'000);
  }
  CallsDb db(path("ledger.db"), Durability::kProcess);
  sqlite::Database file(path("ledger.db"), {});
  EXPECT_EQ(file.number("SELECT sum(calls) FROM blocks"), kRows);
}

}  // namespace
}  // namespace hearth::ledger
