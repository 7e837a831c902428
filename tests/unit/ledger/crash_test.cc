// SPDX-License-Identifier: Apache-2.0
// The promise that every call has exactly one record, under SIGKILL at any moment and with a disk
// that refuses.
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <map>
#include <random>
#include <set>

#include "sandbox/sys/error.h"
#include "tests/unit/ledger/fixture.h"

namespace hearth::ledger {
namespace {

// As many as it takes to list all calls of each.
constexpr const char* kFunctions[] = {"a", "b", "c", "d", "e", "f", "g", "h"};

// What the child that is killed says about its calls; shared memory survives it like the table
// does. It speaks before and after each step, so that one that is cut short is known as such.
struct Diary {
  static constexpr uint32_t kMax = 200'000;
  struct List {
    std::atomic<uint32_t> size;
    Ulid ids[kMax];
    void add(const Ulid& id) {
      ids[size.load()] = id;
      size++;
    }
    std::set<Ulid> set() const { return {ids, ids + size.load()}; }
  };
  List claiming, claimed, finished, dropping, dropped;
  void clear() { claiming.size = claimed.size = finished.size = dropping.size = dropped.size = 0; }
};

class CrashTest : public InFolder {
 protected:
  CrashTest() {
    void* at =
        ::mmap(nullptr, sizeof(Diary), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) std::abort();
    diary_ = static_cast<Diary*>(at);
  }
  ~CrashTest() override { ::munmap(diary_, sizeof(Diary)); }

  // Calls without end, up to eight at a time, ending in any order.
  [[noreturn]] void serve(const Ledger::Options& options, uint32_t seed) {
    Ledger ledger(options);
    ledger.recover([](Record& r) { r.run_us = 5; });
    ledger.start();
    std::mt19937 random(seed);
    std::vector<std::pair<Slot*, Ulid>> running;
    while (diary_->claiming.size < Diary::kMax) {
      if (running.size() < 8 && random() % 2 == 0) {
        Record record = a_record("t", kFunctions[random() % std::size(kFunctions)]);
        record.outcome = Outcome::kInterrupted;
        diary_->claiming.add(record.id);
        Slot* slot = ledger.claim(record);
        if (slot == nullptr) continue;
        diary_->claimed.add(record.id);
        running.emplace_back(slot, record.id);
        continue;
      }
      if (running.empty()) continue;
      std::swap(running[random() % running.size()], running.back());
      auto [slot, id] = running.back();
      running.pop_back();
      if (random() % 16 == 0) {
        diary_->dropping.add(id);
        ledger.drop(slot);
        diary_->dropped.add(id);
        continue;
      }
      Record& record = ledger.record(slot);
      record.outcome = random() % 8 == 0 ? Outcome::kTimeout : Outcome::kOk;
      record.run_us = random() % 100'000;
      bill(record);
      ledger.finish(slot);
      diary_->finished.add(id);
      if (random() % 8 == 0) ::usleep(uint32_t(random()) % 300);
      if (random() % 256 == 0) ledger.flush();
    }
    ::_exit(0);
  }

  void serve_until_killed(const Ledger::Options& options, uint32_t seed, uint32_t microseconds) {
    pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) serve(options, seed);
    ::usleep(microseconds);
    ::kill(child, SIGKILL);
    ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  }

  Diary* diary_;
};

std::vector<Record> all_calls(Ledger& ledger) {
  std::vector<Record> all;
  Query query;
  query.limit = 10'000;
  for (const char* function : kFunctions) {
    query.function = function;
    std::vector<Record> some = ledger.calls(query);
    EXPECT_LT(some.size(), 10'000u) << "the test must see all";
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

void expect_usage_is_sum(Ledger& ledger, const std::vector<Record>& records) {
  std::map<std::string, std::array<uint64_t, 4>> sums;
  for (const Record& r : records) {
    auto& sum = sums[r.function];
    sum[0]++;
    sum[1] += r.billed_ms;
    sum[2] += r.memory_mb * r.billed_ms;
    sum[3] += r.outcome != Outcome::kOk;
  }
  for (const Usage& row : ledger.usage({})) {
    uint64_t errors = 0;
    for (const auto& [kind, count] : row.by_outcome) errors += count;
    EXPECT_EQ((std::array<uint64_t, 4>{row.calls, row.billed_ms, row.mb_ms, errors}),
              sums[row.function]);
    sums.erase(row.function);
  }
  EXPECT_TRUE(sums.empty());
}

TEST_F(CrashTest, EveryCallHasExactlyOneRecordAfterAKillAtAnyMoment) {
  std::mt19937 random(2025);
  size_t interrupted = 0, left_filled = 0, checked = 0;
  for (uint32_t round = 0; round < 200; round++) {
    Ledger::Options options = this->options();
    if (round % 10 == 9) options.durability = Durability::kHost;
    // A fresh folder now and then; in between the same files see one crash after the other.
    if (round % 20 == 0) {
      std::filesystem::remove_all(folder_);
      std::filesystem::create_directory(folder_);
      diary_->clear();
    }
    serve_until_killed(options, round, 10'000 + uint32_t(random()) % 40'000);
    if (round % 3 != 0) continue;  // the next one recovers, and may be killed while it does

    Ledger ledger(options);
    left_filled += ledger.found().filled;
    EXPECT_EQ(ledger.found().damaged, 0u);
    interrupted += ledger.recover([](Record& r) { r.run_us = 5; });
    ledger.start();
    std::vector<Record> records = all_calls(ledger);
    std::map<Ulid, Outcome> found;
    for (const Record& r : records) ASSERT_TRUE(found.emplace(r.id, r.outcome).second) << "doubled";
    std::set<Ulid> claiming = diary_->claiming.set(), dropping = diary_->dropping.set();
    for (const Ulid& id : diary_->finished.set()) {
      ASSERT_TRUE(found.count(id)) << "lost in round " << round;
      ASSERT_NE(found[id], Outcome::kInterrupted);
    }
    for (const Ulid& id : diary_->claimed.set()) {
      ASSERT_TRUE(found.count(id) || dropping.count(id)) << "lost in round " << round;
    }
    for (const Ulid& id : diary_->dropped.set()) ASSERT_FALSE(found.count(id)) << "dropped";
    for (const auto& [id, outcome] : found) ASSERT_TRUE(claiming.count(id)) << "from nowhere";
    checked += found.size();
    expect_usage_is_sum(ledger, records);
  }
  std::printf("[ measured ] %zu records checked, %zu calls interrupted, %zu filled slots found\n",
              checked, interrupted, left_filled);
  EXPECT_GT(interrupted, 0u);
  EXPECT_GT(left_filled, 0u);
}

TEST_F(CrashTest, InsertingAgainWhatTheDatabaseHasChangesNothing) {
  Record record = a_record();
  {
    Ledger first(options());
    first.start();
    run_call(first, record);
  }
  // As if killed between the commit and the freeing of the slot: the same call, finished, in the
  // table.
  for (int i = 0; i < 3; i++) {
    Ledger again(options());
    Record other = record;
    other.run_us = 999'999;
    run_call(again, other);
    again.start();
    again.flush();
    expect_same(*again.call(record.id), record);
    ASSERT_EQ(again.usage({}).size(), 1u);
    EXPECT_EQ(again.usage({})[0].calls, 1u);
  }
}

// A file system of a few hundred KiB that nobody else sees.
class SmallDisk {
 public:
  explicit SmallDisk(const std::string& where) : where_(where) {
    if (::unshare(CLONE_NEWNS) != 0) return;
    std::filesystem::create_directory(where);
    mounted_ = ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
               ::mount("tmpfs", where.c_str(), "tmpfs", 0, "size=512k") == 0;
  }
  ~SmallDisk() {
    if (mounted_) ::umount2(where_.c_str(), MNT_DETACH);
  }
  bool mounted() const { return mounted_; }
  void fill() const {
    std::ofstream file(where_ + "/filler");
    std::string block(4096, 'x');
    while (file << block << std::flush) {
    }
  }
  void empty() const { std::filesystem::remove(where_ + "/filler"); }

 private:
  std::string where_;
  bool mounted_ = false;
};

void wait_for(const std::function<bool()>& condition) {
  auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!condition() && std::chrono::steady_clock::now() < until) ::usleep(1000);
}

TEST_F(CrashTest, AFullDiskHoldsBackRecordsAndLosesNone) {
  SmallDisk disk(path("disk"));
  if (!disk.mounted()) {
    if (::getenv("HEARTH_TESTS_MUST_RUN") != nullptr) FAIL() << "cannot mount a tmpfs of its own";
    GTEST_SKIP() << "cannot mount a tmpfs of its own";
  }
  Ledger::Options options = this->options();
  options.database_path = path("disk/ledger.db");
  std::set<Ulid> expected;
  auto call = [&](Ledger& ledger) {
    Record record = a_record("t", "f");
    Slot* slot = ledger.claim(record);
    if (slot == nullptr) return false;
    expected.insert(record.id);
    ledger.finish(slot);
    return true;
  };
  {
    Ledger ledger(options);
    ledger.start();
    ASSERT_TRUE(call(ledger));
    ledger.flush();
    EXPECT_TRUE(ledger.healthy());
    disk.fill();
    // The write-ahead log is as long as it is by now; some records still fit into it.
    size_t calls = 0;
    while (call(ledger)) {
      if (++calls % 16 == 0) ledger.flush();
      ASSERT_LT(calls, 20'000u) << "the disk never got full";
    }
    EXPECT_FALSE(ledger.healthy());
    EXPECT_NE(ledger.error().find("No space left on device"), std::string::npos) << ledger.error();
    EXPECT_NE(ledger.error().find("disk/ledger.db"), std::string::npos) << ledger.error();
    EXPECT_EQ(ledger.slots_used(), 64u);
    EXPECT_GT(ledger.slots_waiting(), 0u);
    ledger.flush();  // returns, as another attempt fails

    disk.empty();
    wait_for([&] { return ledger.healthy(); });
    EXPECT_TRUE(ledger.healthy());
    EXPECT_TRUE(call(ledger));
    ledger.flush();

    // And once more; this time hearthd stops while the disk is full.
    disk.fill();
    for (size_t i = 0; call(ledger); i++) ledger.flush();
  }
  {
    Ledger still_full(options);
    EXPECT_GT(still_full.found().filled, 0u);
    EXPECT_FALSE(still_full.healthy());
    disk.empty();
    still_full.start();
    wait_for([&] { return still_full.healthy(); });
    EXPECT_TRUE(still_full.healthy());
  }
  Ledger ledger(options);
  EXPECT_EQ(ledger.found().filled, 0u);
  std::vector<Record> records = all_calls(ledger);
  std::set<Ulid> found;
  for (const Record& r : records) found.insert(r.id);
  EXPECT_EQ(found, expected);
  EXPECT_EQ(records.size(), expected.size());
  expect_usage_is_sum(ledger, records);
}

TEST_F(CrashTest, AReadOnlyFolderIsRefusedByName) {
  SmallDisk disk(path("disk"));
  if (!disk.mounted()) {
    if (::getenv("HEARTH_TESTS_MUST_RUN") != nullptr) FAIL() << "cannot mount a tmpfs of its own";
    GTEST_SKIP() << "cannot mount a tmpfs of its own";
  }
  Ledger::Options options = this->options();
  options.table_path = path("disk/inflight");
  options.database_path = path("disk/ledger.db");
  ASSERT_EQ(::mount(nullptr, path("disk").c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr), 0);
  try {
    Ledger ledger(options);
    ADD_FAILURE() << "opened on a read-only disk";
  } catch (const sys::Error& error) {
    EXPECT_NE(std::string(error.what()).find("disk/inflight"), std::string::npos) << error.what();
    EXPECT_EQ(error.code(), EROFS);
  }
}

}  // namespace
}  // namespace hearth::ledger
