// SPDX-License-Identifier: Apache-2.0
// What the log keeps and says when hearthd is killed, a file is damaged or the disk refuses.
#include <sys/resource.h>
#include <sys/wait.h>

#include <csignal>
#include <random>

#include "tests/unit/ledger/log_fixture.h"

namespace hearth::ledger {
namespace {

class LogFaultTest : public LogStoreTest {};

TEST_F(LogFaultTest, LosesNothingButTheCutEntryToDamage) {
  Ulid call = Ulid::make();
  std::mt19937 random(7);
  for (int round = 0; round < 50; round++) {
    std::filesystem::remove_all(path("logs"));
    {
      LogStore store(small());
      for (int i = 0; i < 20; i++)
        store.append("t", "f", call, Stream::kOut, "line " + std::to_string(i) + "\n");
    }
    // As if killed in the middle of the last write.
    uint64_t size = std::filesystem::file_size(log_file(folder(), 1));
    uint64_t line = size - size * 19 / 20;
    std::filesystem::resize_file(log_file(folder(), 1), size - 1 - random() % (line - 2));
    LogStore store(small());
    store.append("t", "f", call, Stream::kOut, "after\n");
    Lines lines = texts(store.read("t", "f", call, 100, nullptr));
    ASSERT_GE(lines.size(), 20u);
    EXPECT_EQ(lines[18], "line 18");
    EXPECT_EQ(lines.back(), "after");
    LogStore::Position from;
    EXPECT_EQ(texts(store.read_from("t", "f", call, &from)), lines);
  }
}

TEST_F(LogFaultTest, ReadsOnOverGarbage) {
  LogStore store(small());
  Ulid call = Ulid::make();
  store.append("t", "f", call, Stream::kOut, "before\n");
  std::mt19937 random(11);
  std::string garbage(3 << 20, '\0');  // what a host crash can leave, and worse
  for (char& c : garbage) {
    c = static_cast<char>(random());
    if (c == '\n') c = 0;
  }
  std::ofstream(log_file(folder(), 1), std::ios::app) << garbage << "\n";
  store.append("t", "f", call, Stream::kOut, "after\n");
  EXPECT_EQ(texts(store.read("t", "f", std::nullopt, 100, nullptr)), (Lines{"before", "after"}));
  LogStore::Position from;
  Lines followed;
  for (;;) {
    Lines some = texts(store.read_from("t", "f", std::nullopt, &from));
    if (some.empty()) break;
    followed.insert(followed.end(), some.begin(), some.end());
  }
  EXPECT_EQ(followed, (Lines{"before", "after"}));
}

// Runs the writer in a child that is killed at any moment; what it had handed over must be there.
TEST_F(LogFaultTest, KeepsWhatWasAppendedBeforeAKill) {
  std::mt19937 random(13);
  for (int round = 0; round < 60; round++) {
    std::filesystem::remove_all(path("logs"));
    int progress[2];
    ASSERT_EQ(::pipe(progress), 0);
    pid_t child = ::fork();
    if (child == 0) {
      LogStore::Options options = small();
      options.call_bytes_max = UINT64_MAX;
      options.files_max = 1000;
      options.file_bytes_max = 200'000;
      LogStore store(options);
      Ulid call = Ulid::make();
      for (uint32_t i = 0;; i++) {
        store.append("t", "f", call, Stream::kOut,
                     std::to_string(i) + std::string(i * 37 % 900, '.') + "\n");
        if (::write(progress[1], &i, sizeof(i)) != sizeof(i)) ::_exit(1);
      }
    }
    ::close(progress[1]);
    uint32_t last = 0, count = 1 + static_cast<uint32_t>(random() % 1500);
    while (last < count && ::read(progress[0], &last, sizeof(last)) == sizeof(last)) {
    }
    ::kill(child, SIGKILL);
    ASSERT_EQ(::waitpid(child, nullptr, 0), child);
    while (::read(progress[0], &last, sizeof(last)) == sizeof(last)) {
    }
    ::close(progress[0]);

    LogStore store(small());
    store.append("t", "f", Ulid::make(), Stream::kOut, "next start\n");
    std::vector<LogEntry> entries = store.read("t", "f", std::nullopt, 1'000'000, nullptr);
    ASSERT_GE(entries.size(), last + 2u) << "round " << round;
    for (uint32_t i = 0; i <= last; i++) {
      ASSERT_EQ(std::stoul(entries[i].bytes), i);
      ASSERT_EQ(entries[i].bytes.size(), std::to_string(i).size() + i * 37 % 900);
    }
    EXPECT_EQ(entries.back().bytes, "next start");
  }
}

// A limit on the size of files makes writes short and then fail, as a full disk does.
TEST_F(LogFaultTest, AFullDiskLosesTextAndSaysHowMuch) {
  LogStore store(small());
  Ulid before = Ulid::make(), during = Ulid::make(), after = Ulid::make();
  store.append("t", "f", before, Stream::kOut, "before\n");
  store.end_call("t", "f", before);
  rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
  auto* ignored = std::signal(SIGXFSZ, SIG_IGN);
  rlimit full{bytes_on_disk() + 100, old.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &full), 0);
  store.append("t", "f", during, Stream::kOut,
               std::string(80, 'd') + "\n" + std::string(80, 'e') + "\n");
  store.append("t", "f", during, Stream::kOut, "more\n");
  EXPECT_EQ(store.end_call("t", "f", during), 167u);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &old), 0);
  std::signal(SIGXFSZ, ignored);

  store.append("t", "f", after, Stream::kOut, "after\n");
  store.end_call("t", "f", after);
  std::vector<LogEntry> entries = store.read("t", "f", std::nullopt, 100, nullptr);
  ASSERT_EQ(entries.size(), 4u);
  EXPECT_EQ(entries[0].bytes, "before");
  std::string kept = entries[1].bytes;
  EXPECT_EQ(kept, std::string(kept.size(), 'd')) << "the part that fitted";
  EXPECT_LT(kept.size(), 80u);
  EXPECT_EQ(entries[2].stream, Stream::kPlatform);
  EXPECT_EQ(entries[2].bytes,
            "lost: " + std::to_string(164 - kept.size()) + " bytes (File too large)");
  EXPECT_EQ(entries[3].bytes, "after");
  EXPECT_EQ(store.lost_bytes(), 164 - kept.size());
}

TEST_F(LogFaultTest, AFolderThatCannotBeMadeLosesTextButNoCall) {
  std::ofstream(path("logs")) << "a file where the folder should be";
  LogStore store(small());
  Ulid call = Ulid::make();
  store.append("t", "f", call, Stream::kOut, "text\n");
  store.note("t", "f", call, "note");
  EXPECT_EQ(store.end_call("t", "f", call), 5u);
  EXPECT_EQ(store.lost_bytes(), 8u);
  EXPECT_TRUE(store.read("t", "f", call, 10, nullptr).empty());
}

}  // namespace
}  // namespace hearth::ledger
