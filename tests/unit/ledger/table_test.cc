// SPDX-License-Identifier: Apache-2.0
// What the ledger makes of an in-flight table that a dead hearthd, a dead host or a stranger left
// behind.
#include <fcntl.h>
#include <sys/resource.h>

#include <csignal>
#include <cstddef>
#include <vector>

#include "daemon/ledger/crc32c.h"
#include "daemon/ledger/inflight_table.h"
#include "sandbox/sys/error.h"
#include "tests/unit/ledger/fixture.h"

namespace hearth::ledger {
namespace {

constexpr size_t kHeaderBytes = 4096;

class TableTest : public InFolder {
 protected:
  // Leaves a table in which a call is still running and another one is finished and not committed.
  void leave(const Record& running, const Record& finished) {
    InflightTable table(path("inflight"), 64);
    table.claim(table.slot(0), running);
    table.claim(table.slot(1), finished);
    table.finish(table.slot(1));
  }

  void overwrite(size_t offset, const std::string& bytes) {
    std::fstream file(path("inflight"), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(offset));
    file << bytes;
  }
  static size_t place(size_t slot, size_t member) {
    return kHeaderBytes + slot * sizeof(Slot) + member;
  }

  std::string refusal() {
    try {
      Ledger ledger(options());
      return "";
    } catch (const sys::Error& error) {
      return error.what();
    }
  }
};

TEST_F(TableTest, FinishedCallsAreRecordedAndRunningOnesInterrupted) {
  Record running = a_record(), finished = a_record();
  leave(running, finished);
  Ledger ledger(options());
  EXPECT_EQ(ledger.found().filled, 1u);
  EXPECT_EQ(ledger.found().running, 1u);
  size_t asked = 0;
  EXPECT_EQ(ledger.recover([&](Record& r) {
    asked++;
    EXPECT_EQ(r.sandbox, running.sandbox);
    r.cpu_user_us = 777;
    r.run_us = 2500;
    r.init_us = 0;
  }),
            1u);
  EXPECT_EQ(asked, 1u);
  ledger.start();
  expect_same(*ledger.call(finished.id), finished);
  Record interrupted = *ledger.call(running.id);
  EXPECT_EQ(interrupted.outcome, Outcome::kInterrupted);
  EXPECT_EQ(interrupted.cpu_user_us, 777u);
  EXPECT_EQ(interrupted.billed_ms, 3u);
  EXPECT_STREQ(interrupted.function, running.function);
  EXPECT_EQ(ledger.slots_used(), 0u);
}

TEST_F(TableTest, StartingWithoutRecoveryRecordsInterruptedCallsToo) {
  Record running = a_record();
  leave(running, a_record());
  Ledger ledger(options());
  ledger.start();
  EXPECT_EQ(ledger.call(running.id)->outcome, Outcome::kInterrupted);
}

TEST_F(TableTest, AHalfFilledRecordDoesNotSpoilWhatTheCallWasClaimedWith) {
  Record running = a_record();
  leave(running, a_record());
  overwrite(place(0, offsetof(Slot, record) + 4), std::string(sizeof(Record) - 4, '\xee'));
  Ledger ledger(options());
  EXPECT_EQ(ledger.recover([](Record&) {}), 1u);
  running.outcome = Outcome::kInterrupted;
  expect_same(*ledger.call(running.id), running);
}

TEST_F(TableTest, ATornFinishedSlotStillNamesItsCall) {
  Record finished = a_record();
  leave(a_record(), finished);
  overwrite(place(1, offsetof(Slot, record) + 200), "\xff\xff");
  Ledger ledger(options());
  EXPECT_EQ(ledger.found().filled, 0u);
  EXPECT_EQ(ledger.recover([](Record&) {}), 2u);
  EXPECT_EQ(ledger.call(finished.id)->outcome, Outcome::kInterrupted);
}

TEST_F(TableTest, ASlotThatNamesNoCallIsSetAsideAndCounted) {
  leave(a_record(), a_record());
  overwrite(place(0, offsetof(Slot, claimed) + 20), "torn");
  {
    Ledger ledger(options());
    EXPECT_EQ(ledger.found().damaged, 1u);
    EXPECT_EQ(ledger.recover([](Record&) {}), 0u);
    EXPECT_EQ(ledger.calls({}).size(), 1u);
    EXPECT_EQ(std::filesystem::file_size(path("inflight.damaged")), sizeof(Slot));
  }
  Ledger again(options());
  EXPECT_EQ(again.found().damaged, 0u);
  EXPECT_EQ(std::filesystem::file_size(path("inflight.damaged")), sizeof(Slot));
}

TEST_F(TableTest, NumbersOutOfRangeAreDamageEvenWithTheRightChecksum) {
  Record strange = a_record();
  strange.outcome = static_cast<Outcome>(200);
  Record endless = a_record();
  std::memset(endless.tenant, 'x', sizeof(endless.tenant));
  leave(strange, endless);
  Ledger ledger(options());
  EXPECT_EQ(ledger.found().damaged, 2u);
  ledger.start();
  EXPECT_TRUE(ledger.calls({}).empty());
}

TEST_F(TableTest, AnUnknownStateIsJudgedByTheChecksums) {
  Record running = a_record(), finished = a_record();
  leave(running, finished);
  overwrite(place(0, 0), "????");
  overwrite(place(1, 0), "????");
  Ledger ledger(options());
  EXPECT_EQ(ledger.recover([](Record&) {}), 1u);
  expect_same(*ledger.call(finished.id), finished);
  EXPECT_EQ(ledger.call(running.id)->outcome, Outcome::kInterrupted);
}

TEST_F(TableTest, RandomDamageNeverCrashesAndLosesNoOtherSlot) {
  uint32_t seed = 1;
  auto random = [&seed] { return seed = seed * 1'664'525 + 1'013'904'223; };
  for (int round = 0; round < 100; round++) {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directory(folder_);
    Record intact = a_record();
    {
      InflightTable table(path("inflight"), 64);
      for (uint32_t i = 0; i < 10; i++) {
        table.claim(table.slot(i), i == 5 ? intact : a_record());
        if (i % 2 != 0) table.finish(table.slot(i));
      }
    }
    for (int i = 0; i < 20; i++) {
      size_t slot = random() >> 8 & 63, at = (random() >> 8) % sizeof(Slot);
      if (slot != 5)
        overwrite(place(slot, at),
                  std::string(1 + (random() >> 8) % 4, static_cast<char>(random() >> 16)));
    }
    Ledger ledger(options());
    ledger.recover([](Record&) {});
    ASSERT_TRUE(ledger.call(intact.id).has_value());
    ASSERT_LE(ledger.calls({}).size() + ledger.found().damaged, 64u);
    ASSERT_GE(ledger.calls({}).size(), 1u);
  }
}

TEST_F(TableTest, RefusesAForeignFileAndLeavesItAlone) {
  std::ofstream(path("inflight")) << "somebody's notes";
  EXPECT_NE(refusal().find("truncated"), std::string::npos) << refusal();
  std::ofstream(path("inflight")) << std::string(100'000, 'n');
  EXPECT_NE(refusal().find("no in-flight table"), std::string::npos) << refusal();
  EXPECT_NE(refusal().find(path("inflight")), std::string::npos) << refusal();
  EXPECT_EQ(std::filesystem::file_size(path("inflight")), 100'000u);
}

TEST_F(TableTest, RefusesATruncatedTable) {
  leave(a_record(), a_record());
  std::filesystem::resize_file(path("inflight"), kHeaderBytes + 3 * sizeof(Slot));
  EXPECT_NE(refusal().find("truncated"), std::string::npos) << refusal();
  std::filesystem::resize_file(path("inflight"), 30);
  EXPECT_NE(refusal().find("truncated"), std::string::npos) << refusal();
}

TEST_F(TableTest, RefusesADamagedHeader) {
  leave(a_record(), a_record());
  overwrite(12, "\x01");
  EXPECT_NE(refusal().find("header is damaged"), std::string::npos) << refusal();
}

TEST_F(TableTest, RefusesTheLayoutOfAnotherHearthAndNamesBoth) {
  leave(a_record(), a_record());
  // magic[8], layout, slot bytes, slots, reserved, boot[40], checksum
  char header[68];
  std::ifstream(path("inflight"), std::ios::binary).read(header, sizeof(header));
  uint32_t layout = 77;
  std::memcpy(header + 8, &layout, sizeof(layout));
  uint32_t crc = crc32c(header, 64);
  std::memcpy(header + 64, &crc, sizeof(crc));
  overwrite(0, std::string(header, sizeof(header)));
  EXPECT_NE(refusal().find("its layout is 77, this hearthd knows 1"), std::string::npos)
      << refusal();
}

TEST_F(TableTest, FinishesATableWhoseMakingWasCutShort) {
  std::ofstream(path("inflight")) << std::string(5000, '\0');
  EXPECT_EQ(refusal(), "");
  EXPECT_EQ(std::filesystem::file_size(path("inflight")), kHeaderBytes + 64 * sizeof(Slot));
}

TEST_F(TableTest, RefusesASecondHearthdOnTheSameFolder) {
  Ledger first(options());
  EXPECT_NE(refusal().find("another hearthd"), std::string::npos) << refusal();
}

TEST_F(TableTest, TakesAnotherNumberOfSlotsWithoutLosingAny) {
  Record last = a_record();
  {
    InflightTable table(path("inflight"), 64);
    table.claim(table.slot(63), last);
  }
  Ledger::Options other = options();
  other.slots = 16;
  {
    Ledger ledger(other);  // a call is beyond the new end: this time the old size stays
    EXPECT_EQ(ledger.slots(), 64u);
    ledger.start();
    EXPECT_TRUE(ledger.call(last.id).has_value());
  }
  { EXPECT_EQ(Ledger(other).slots(), 16u); }
  EXPECT_EQ(std::filesystem::file_size(path("inflight")), kHeaderBytes + 16 * sizeof(Slot));
  other.slots = 200;
  Ledger ledger(other);
  EXPECT_EQ(ledger.slots(), 200u);
  ledger.start();
  std::vector<Slot*> slots;
  for (int i = 0; i < 200; i++) slots.push_back(ledger.claim(a_record()));
  ASSERT_NE(slots.back(), nullptr);
  for (Slot* slot : slots) ledger.finish(slot);
  Query query;
  query.limit = 1000;
  EXPECT_EQ(ledger.calls(query).size(), 201u);
}

TEST_F(TableTest, ACallOfADeadDaemonHasTheCpuTimeThatWasSeenWithoutItsCgroup) {
  Record running = a_record();
  running.cpu_user_base_us = 100;
  running.cpu_system_base_us = 5000;
  leave(running, a_record());
  {
    InflightTable table(path("inflight"), 64);
    table.slot(0).seen_cpu_user_us = 2'000'100;
    table.slot(0).seen_cpu_system_us = 4000;  // never below zero
  }
  Ledger ledger(options());
  EXPECT_EQ(ledger.recover([](Record&) {}), 1u);
  Record record = *ledger.call(running.id);
  EXPECT_EQ(record.cpu_user_us, 2'000'000u);
  EXPECT_EQ(record.cpu_system_us, 0u);
  EXPECT_EQ(record.run_us, 2'000'000u);
}

TEST_F(TableTest, AfterAnotherBootNoCounterIsAskedFor) {
  Record running = a_record();
  leave(running, a_record());
  char header[68];
  std::ifstream(path("inflight"), std::ios::binary).read(header, sizeof(header));
  header[24] = header[24] == '0' ? '1' : '0';  // the first digit of the boot id
  uint32_t crc = crc32c(header, 64);
  std::memcpy(header + 64, &crc, sizeof(crc));
  overwrite(0, std::string(header, sizeof(header)));
  {
    Ledger ledger(options());
    EXPECT_EQ(ledger.recover([](Record&) { ADD_FAILURE() << "its cgroup is gone"; }), 1u);
    EXPECT_EQ(ledger.call(running.id)->outcome, Outcome::kInterrupted);
    ASSERT_NE(ledger.claim(a_record()), nullptr);  // and dies
  }
  Ledger ledger(options());
  int asked = 0;
  EXPECT_EQ(ledger.recover([&](Record&) { asked++; }), 1u);
  EXPECT_EQ(asked, 1) << "from the second start on it is the same boot";
}

TEST_F(TableTest, WithoutRoomForTheWholeTableThereIsNone) {
  rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
  auto* before = std::signal(SIGXFSZ, SIG_IGN);
  rlimit full{20'000, old.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &full), 0);
  std::string why = refusal();
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &old), 0);
  std::signal(SIGXFSZ, before);
  EXPECT_NE(why.find("allocate"), std::string::npos) << why;
  EXPECT_EQ(refusal(), "") << "with room again it starts";
}

TEST_F(TableTest, SaysWhichFolderIsMissing) {
  Ledger::Options nowhere = options();
  nowhere.table_path = path("no/such/folder/inflight");
  EXPECT_THROW(Ledger ledger(nowhere), sys::Error);
}

}  // namespace
}  // namespace hearth::ledger
