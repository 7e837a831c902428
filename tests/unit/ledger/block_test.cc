// SPDX-License-Identifier: Apache-2.0
#include <random>

#include "daemon/ledger/record_block.h"
#include "tests/unit/ledger/fixture.h"

namespace hearth::ledger {
namespace {

std::string encoded(const std::vector<Record>& records) {
  std::vector<const Record*> all;
  for (const Record& r : records) all.push_back(&r);
  return encode_block(all);
}

std::vector<Record> a_few() {
  std::vector<Record> records;
  for (const char* function : {"f", "g", "f"}) records.push_back(a_record("t", function));
  records[1].outcome = Outcome::kTimeout;
  records[1].received_at_us = records[1].id.unix_ms() * 1000 - 3'600'000'000;
  return records;
}

void expect_same(const std::vector<Record>& read, const std::vector<Record>& written) {
  ASSERT_EQ(read.size(), written.size());
  for (size_t i = 0; i < read.size(); i++) ledger::expect_same(read[i], written[i]);
}

TEST(RecordBlock, ReturnsEachFieldAsItWasWritten) {
  std::vector<Record> written = a_few();
  std::optional<std::vector<Record>> read = decode_block(encoded(written));
  ASSERT_TRUE(read.has_value());
  expect_same(*read, written);
  std::optional<std::vector<Ulid>> ids = ids_of_block(encoded(written));
  ASSERT_TRUE(ids.has_value());
  for (size_t i = 0; i < ids->size(); i++) EXPECT_EQ((*ids)[i], written[i].id);
}

TEST(RecordBlock, HoldsTheLargestOfEverything) {
  std::vector<Record> written;
  for (size_t i = 0; i < kBlockRecordsMax; i++) {
    Record r;
    // No byte in common with the one before: the first differs.
    r.id.bytes.fill(static_cast<uint8_t>(i));
    std::memset(r.tenant, 'a' + static_cast<int>(i % 26), sizeof(r.tenant) - 1);
    std::memset(r.function, 'a' + static_cast<int>(i / 26), sizeof(r.function) - 1);
    r.version = r.memory_mb = UINT32_MAX;
    r.received_at_us = i % 2 ? UINT64_MAX : 0;
    for (uint64_t* number : {&r.queue_us, &r.init_us, &r.run_us, &r.total_us, &r.billed_ms,
                             &r.gb_ms, &r.memory_peak_bytes, &r.cpu_user_us, &r.cpu_system_us,
                             &r.throttled_us, &r.in_bytes, &r.out_bytes, &r.log_bytes}) {
      *number = UINT64_MAX;
    }
    r.limits_best_effort = UINT8_MAX;
    written.push_back(r);
  }
  std::optional<std::vector<Record>> read = decode_block(encoded(written));
  ASSERT_TRUE(read.has_value());
  expect_same(*read, written);
}

TEST(RecordBlock, TakesLittleSpace) {
  std::vector<Record> records;
  for (size_t i = 0; i < kBlockRecordsMax; i++) records.push_back(a_record());
  EXPECT_LT(encoded(records).size(), 48 * kBlockRecordsMax);
}

TEST(RecordBlock, ReadsNothingFromWhatIsCutShortOrLonger) {
  std::string whole = encoded(a_few());
  for (size_t size = 0; size < whole.size(); size++) {
    EXPECT_FALSE(decode_block(std::string_view(whole).substr(0, size)).has_value()) << size;
  }
  EXPECT_FALSE(decode_block(whole + '\0').has_value());
}

TEST(RecordBlock, ReadsNothingOfAnotherFormat) {
  std::string block = encoded(a_few());
  block[0] = 2;
  EXPECT_FALSE(decode_block(block).has_value());
  EXPECT_FALSE(ids_of_block(block).has_value());
}

TEST(RecordBlock, SurvivesAnyDamage) {
  std::string whole = encoded(a_few());
  std::mt19937 random(7);
  for (int i = 0; i < 200'000; i++) {
    std::string damaged = whole;
    for (int bytes = 1 + static_cast<int>(random() % 4); bytes > 0; bytes--) {
      damaged[random() % damaged.size()] = static_cast<char>(random());
    }
    std::optional<std::vector<Record>> read = decode_block(damaged);
    if (!read) continue;
    EXPECT_LE(read->size(), kBlockRecordsMax);
    for (const Record& r : *read) EXPECT_LT(text_of(r.tenant).size(), sizeof(r.tenant));
  }
}

}  // namespace
}  // namespace hearth::ledger
