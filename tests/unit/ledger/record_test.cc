// SPDX-License-Identifier: Apache-2.0
#include "daemon/ledger/record.h"

#include <sys/wait.h>

#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "daemon/ledger/crc32c.h"
#include "daemon/ledger/record_json.h"
#include "daemon/ledger/timestamp.h"
#include "tests/unit/ledger/fixture.h"

namespace hearth::ledger {
namespace {

TEST(Ulid, ReadsBackItsText) {
  for (int i = 0; i < 1000; i++) {
    Ulid id = Ulid::make(), back;
    ASSERT_EQ(id.text().size(), 26u);
    ASSERT_TRUE(Ulid::parse(id.text(), &back));
    ASSERT_EQ(back, id);
  }
}

TEST(Ulid, WritesKnownValues) {
  Ulid id;
  EXPECT_EQ(id.text(), "00000000000000000000000000");
  id.bytes.fill(0xff);
  EXPECT_EQ(id.text(), "7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
  // The time of the specification's example.
  EXPECT_EQ(first_ulid_of(1'469'918'176'385'000).text(), "01ARYZ6S410000000000000000");
}

TEST(Ulid, ReadsWhatPeopleMistype) {
  Ulid a, b;
  ASSERT_TRUE(Ulid::parse("01ARYZ6S41TSV4RRFFQ69G5FAV", &a));
  ASSERT_TRUE(Ulid::parse("oLaryz6s4itsv4rrffq69g5fav", &b));
  EXPECT_EQ(a, b);
}

TEST(Ulid, RefusesWhatIsNone) {
  Ulid id;
  EXPECT_FALSE(Ulid::parse("", &id));
  EXPECT_FALSE(Ulid::parse("01ARYZ6S41TSV4RRFFQ69G5FA", &id));
  EXPECT_FALSE(Ulid::parse("01ARYZ6S41TSV4RRFFQ69G5FAVV", &id));
  EXPECT_FALSE(Ulid::parse("01ARYZ6S41TSV4RRFFQ69G5FAU", &id));
  EXPECT_FALSE(Ulid::parse("81ARYZ6S41TSV4RRFFQ69G5FAV", &id)) << "more than 128 bits";
  EXPECT_FALSE(Ulid::parse(std::string("01ARYZ6S41TSV4RRFFQ69G5FA\0", 26), &id));
}

TEST(Ulid, RisesAlsoWithinAMillisecond) {
  Ulid before = Ulid::make();
  for (int i = 0; i < 100'000; i++) {
    Ulid next = Ulid::make();
    ASSERT_LT(before, next);
    ASSERT_LT(before.text(), next.text());
    before = next;
  }
}

TEST(Ulid, IsNeverMadeTwiceByThreadsOrForks) {
  constexpr size_t kEach = 2000;
  std::vector<std::vector<Ulid>> made(4);
  std::vector<std::thread> threads;
  for (auto& mine : made) {
    threads.emplace_back([&mine] {
      for (size_t i = 0; i < kEach; i++) mine.push_back(Ulid::make());
    });
  }
  for (auto& thread : threads) thread.join();
  std::set<Ulid> all;
  for (const auto& mine : made) all.insert(mine.begin(), mine.end());

  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  pid_t child = ::fork();
  if (child == 0) {
    for (int i = 0; i < 100; i++) {
      Ulid id = Ulid::make();
      if (::write(ends[1], id.bytes.data(), 16) != 16) ::_exit(1);
    }
    ::_exit(0);
  }
  for (int i = 0; i < 100; i++) all.insert(Ulid::make());
  for (int i = 0; i < 100; i++) {
    Ulid id;
    ASSERT_EQ(::read(ends[0], id.bytes.data(), 16), 16);
    all.insert(id);
  }
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  ::close(ends[0]);
  ::close(ends[1]);
  EXPECT_EQ(all.size(), 4 * kEach + 200);
}

TEST(Bill, RoundsUpOnce) {
  struct {
    uint64_t run, init;
    uint32_t mb;
    uint64_t billed, gb;
  } cases[] = {
      {0, 0, 128, 0, 0},
      {1, 0, 1024, 1, 1},
      {999, 1, 1024, 1, 1},
      {1000, 1, 1024, 2, 2},
      {1'000'000, 0, 128, 1000, 125},
      {1'000, 0, 1, 1, 1},
      {1'025'000, 0, 1, 1025, 2},
      {1'024'000, 0, 1, 1024, 1},
      {500, 500, 3072, 1, 3},
  };
  for (const auto& c : cases) {
    Record r;
    r.run_us = c.run;
    r.init_us = c.init;
    r.memory_mb = c.mb;
    bill(r);
    EXPECT_EQ(r.billed_ms, c.billed) << c.run << "+" << c.init;
    EXPECT_EQ(r.gb_ms, c.gb) << c.run << "+" << c.init << " at " << c.mb;
  }
}

TEST(Bill, DoesNotWrapAround) {
  Record r;
  r.run_us = r.init_us = UINT64_MAX;
  r.memory_mb = UINT32_MAX;
  bill(r);
  EXPECT_EQ(r.billed_ms, UINT64_MAX / 1000 + 1);
  EXPECT_EQ(r.gb_ms, UINT64_MAX);
}

TEST(Names, ReadBackAndAreTheWordsOfTheApi) {
  for (size_t i = 0; i < kOutcomeCount; i++) {
    auto outcome = static_cast<Outcome>(i);
    Outcome back{};
    ASSERT_TRUE(parse_name(name_of(outcome), &back));
    EXPECT_EQ(back, outcome);
  }
  EXPECT_STREQ(name_of(Outcome::kOk), "ok");
  EXPECT_STREQ(name_of(Outcome::kTmpExceeded), "tmp_exceeded");
  EXPECT_STREQ(name_of(Outcome::kInterrupted), "interrupted");
  EXPECT_STREQ(name_of(static_cast<Outcome>(99)), "unknown");
  Outcome untouched = Outcome::kOk;
  EXPECT_FALSE(parse_name("OK", &untouched));
}

TEST(Time, IsWrittenInUtcWithMicroseconds) {
  EXPECT_EQ(rfc3339(0), "1970-01-01T00:00:00.000000Z");
  EXPECT_EQ(rfc3339(kNoon + 12'345), "2025-11-23T12:00:00.012345Z");
  EXPECT_EQ(rfc3339(1'709'251'199'999'999), "2024-02-29T23:59:59.999999Z");
  EXPECT_EQ(rfc3339(UINT64_MAX), "9999-12-31T23:59:59.999999Z");
  EXPECT_EQ(day_of(kNoon), "2025-11-23");
}

TEST(Time, ReadsBackOnlyItsOwnShape) {
  for (uint64_t us : {uint64_t{0}, kNoon, kNoon + 1, uint64_t{1'709'251'199'999'999}}) {
    uint64_t back = 1;
    ASSERT_TRUE(parse_rfc3339(rfc3339(us), &back));
    EXPECT_EQ(back, us);
  }
  uint64_t us = 0;
  for (const char* bad : {"", "2025-11-23", "2025-11-23T12:00:00Z", "2025-13-01T00:00:00.000000Z",
                          "2025-02-29T00:00:00.000000Z", "2025-01-01T24:00:00.000000Z",
                          "2025-01-01T00:60:00.000000Z", "1969-12-31T23:59:59.999999Z",
                          "2025-01-01T00:00:00.00000xZ", "2025-01-01 00:00:00.000000Z"}) {
    EXPECT_FALSE(parse_rfc3339(bad, &us)) << bad;
  }
}

TEST(Crc32c, IsTheSameWithAndWithoutTheInstruction) {
  EXPECT_EQ(crc32c("123456789", 9), 0xe3069283u);
  std::string bytes;
  for (int i = 0; i < 300; i++) {
    ASSERT_EQ(crc32c(bytes.data(), bytes.size()), crc32c_portable(bytes.data(), bytes.size()));
    bytes.push_back(static_cast<char>(i * 7));
  }
}

TEST(RecordJson, HasTheNamesOfTheInterfaceAndOneLine) {
  Record r = a_record();
  std::string text = to_json(r);
  EXPECT_EQ(text.find('\n'), std::string::npos);
  nlohmann::json json = nlohmann::json::parse(text);
  EXPECT_EQ(json.size(), 25u);
  EXPECT_EQ(json["id"], r.id.text());
  EXPECT_EQ(json["tenant"], "default");
  EXPECT_EQ(json["function"], "thumb");
  EXPECT_EQ(json["version"], 3);
  EXPECT_EQ(json["trigger"], "http");
  EXPECT_EQ(json["outcome"], "ok");
  EXPECT_EQ(json["start"], "warm");
  EXPECT_EQ(json["received_at"], "2025-11-23T12:00:00.000000Z");
  EXPECT_EQ(json["received_at_us"], kNoon);
  EXPECT_EQ(json["queue_us"], 11);
  EXPECT_EQ(json["init_us"], 12);
  EXPECT_EQ(json["run_us"], 1300);
  EXPECT_EQ(json["total_us"], 1400);
  EXPECT_EQ(json["billed_ms"], 2);
  EXPECT_EQ(json["gb_ms"], 1);
  EXPECT_EQ(json["memory_mb"], 128);
  EXPECT_EQ(json["memory_peak_bytes"], 15 << 20);
  EXPECT_EQ(json["memory_peak_source"], "peak_reset");
  EXPECT_EQ(json["cpu_user_us"], 900);
  EXPECT_EQ(json["cpu_system_us"], 100);
  EXPECT_EQ(json["throttled_us"], 17);
  EXPECT_EQ(json["in_bytes"], 18);
  EXPECT_EQ(json["out_bytes"], 19);
  EXPECT_EQ(json["log_bytes"], 20);
  EXPECT_EQ(json["limits"], "strict");
  r.limits_best_effort = 1;
  EXPECT_EQ(nlohmann::json::parse(to_json(r))["limits"], "best-effort");
}

TEST(RecordJson, StaysJsonWhateverTheNamesHold) {
  Record r = a_record();
  std::memset(r.tenant, '"', sizeof(r.tenant));  // not even terminated
  std::strcpy(r.function, "a\\\n\xff\x01");
  nlohmann::json json = nlohmann::json::parse(to_json(r));
  EXPECT_EQ(json["tenant"], std::string(64, '"'));
  EXPECT_EQ(to_json(r).find('\n'), std::string::npos);
}

TEST(UsageJson, NamesErrorsByKind) {
  Usage usage{"t", "f", "2025-11-23", 9, 8, 6, 5, 4, 7000, 7, {{"timeout", 2}, {"crashed", 1}}};
  nlohmann::json json = nlohmann::json::parse(to_json(usage));
  EXPECT_EQ(json["tenant"], "t");
  EXPECT_EQ(json["function"], "f");
  EXPECT_EQ(json["day"], "2025-11-23");
  EXPECT_EQ(json["calls"], 9);
  EXPECT_EQ(json["billed_ms"], 8);
  EXPECT_EQ(json["gb_ms"], 7);
  EXPECT_EQ(json["cpu_us"], 6);
  EXPECT_EQ(json["in_bytes"], 5);
  EXPECT_EQ(json["out_bytes"], 4);
  EXPECT_EQ(json["errors"], nlohmann::json({{"timeout", 2}, {"crashed", 1}}));
}

}  // namespace
}  // namespace hearth::ledger
