// SPDX-License-Identifier: Apache-2.0
#include "daemon/ledger/log_store.h"

#include "daemon/ledger/timestamp.h"
#include "tests/unit/ledger/log_fixture.h"

namespace hearth::ledger {
namespace {

TEST_F(LogStoreTest, TagsEachLineWithItsCallAndStream) {
  LogStore store(small());
  Ulid a = Ulid::make(), b = Ulid::make();
  uint64_t before = now_us();
  store.append("t", "f", a, Stream::kOut, "one\ntw");
  store.append("t", "f", b, Stream::kErr, "other\n");
  store.append("t", "f", a, Stream::kErr, "warn");
  store.append("t", "f", a, Stream::kOut, "o\nthree\n\n");
  EXPECT_EQ(store.end_call("t", "f", a), 19u);
  EXPECT_EQ(store.end_call("t", "f", b), 6u);
  EXPECT_EQ(store.end_call("t", "f", Ulid::make()), 0u);

  std::vector<LogEntry> all = store.read("t", "f", std::nullopt, 100, nullptr);
  EXPECT_EQ(texts(all), (Lines{"one", "other", "two", "three", "", "warn"}));
  EXPECT_EQ(all[1].call, b);
  EXPECT_EQ(all[1].stream, Stream::kErr);
  EXPECT_EQ(all[2].stream, Stream::kOut);
  EXPECT_EQ(all[5].stream, Stream::kErr);
  for (const LogEntry& entry : all) {
    EXPECT_GE(entry.time_us, before);
    EXPECT_LE(entry.time_us, now_us());
    EXPECT_FALSE(entry.continues);
  }
  EXPECT_EQ(texts(store.read("t", "f", a, 100, nullptr)),
            (Lines{"one", "two", "three", "", "warn"}));
  EXPECT_EQ(texts(store.read("t", "f", a, 2, nullptr)), (Lines{"", "warn"}));
  EXPECT_TRUE(store.read("t", "f", a, 0, nullptr).empty());
  EXPECT_TRUE(store.read("t", "other", std::nullopt, 100, nullptr).empty());
}

TEST_F(LogStoreTest, IsReadableByPeopleOnDisk) {
  LogStore store(small());
  Ulid call = Ulid::make();
  store.append("t", "f", call, Stream::kOut, "hello world\n");
  std::ifstream file(log_file(folder(), 1));
  std::string time, id, rest;
  file >> time >> id;
  std::getline(file, rest);
  EXPECT_EQ(id, call.text());
  EXPECT_EQ(rest, " out 11 hello world");
}

TEST_F(LogStoreTest, KeepsEveryByteValue) {
  std::string bytes;
  for (int i = 0; i < 256; i++) bytes.push_back(static_cast<char>(i));
  LogStore store(small());
  Ulid call = Ulid::make();
  store.append("t", "f", call, Stream::kOut, bytes + "\n");
  std::vector<LogEntry> entries = store.read("t", "f", call, 10, nullptr);
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[0].bytes + "\n" + entries[1].bytes, bytes);
}

TEST_F(LogStoreTest, SplitsALineOfAnyLengthIntoMarkedPieces) {
  LogStore::Options options = small();
  options.call_bytes_max = options.file_bytes_max = 64 << 20;
  LogStore store(options);
  Ulid call = Ulid::make();
  std::string line(10 << 20, 'x');
  for (size_t i = 0; i < line.size(); i += 1000) line[i] = static_cast<char>('a' + i % 26);
  line += "\nend\n";
  // In chunks of a pipe's odd sizes.
  for (size_t at = 0; at < line.size(); at += 61'337) {
    store.append("t", "f", call, Stream::kOut, std::string_view(line).substr(at, 61'337));
  }
  store.end_call("t", "f", call);
  std::string read;
  LogStore::Position from;
  for (;;) {
    std::vector<LogEntry> entries = store.read_from("t", "f", call, &from);
    if (entries.empty()) break;
    for (const LogEntry& entry : entries) {
      EXPECT_LE(entry.bytes.size(), size_t{64} << 10);
      read += entry.bytes;
      if (!entry.continues) read += '\n';
    }
  }
  EXPECT_EQ(read, line);
}

TEST_F(LogStoreTest, BoundsWhatOneCallKeepsAndStatesTheRest) {
  LogStore store(small());
  Ulid call = Ulid::make();
  std::string chunk;
  for (int i = 0; i < 1000; i++)
    chunk += "a line that a function prints again and again, " + std::to_string(i) + "\n";
  uint64_t printed = 0;
  while (printed < (100u << 20)) {
    store.append("t", "f", call, Stream::kOut, chunk);
    printed += chunk.size();
  }
  EXPECT_EQ(store.end_call("t", "f", call), printed);
  std::vector<LogEntry> entries = store.read("t", "f", call, 1'000'000, nullptr);
  uint64_t kept = 0;
  for (const LogEntry& entry : entries) {
    if (entry.stream == Stream::kOut) kept += entry.bytes.size() + 1;
  }
  kept -= 1;  // the last line was cut
  EXPECT_EQ(kept, 256u << 10);
  EXPECT_EQ(entries.back().stream, Stream::kPlatform);
  EXPECT_EQ(entries.back().bytes, "truncated: " + std::to_string(printed - kept) +
                                      " bytes (limit 262144 bytes per call)");
  EXPECT_EQ(store.dropped_bytes(), printed - kept);
  EXPECT_LT(bytes_on_disk(), 1u << 20);
}

TEST_F(LogStoreTest, ShortLinesDoNotMultiplyOnDisk) {
  LogStore store(small());
  Ulid call = Ulid::make();
  store.append("t", "f", call, Stream::kErr, std::string(4 << 20, '\n'));
  store.end_call("t", "f", call);
  std::vector<LogEntry> entries = store.read("t", "f", call, 1'000'000, nullptr);
  EXPECT_EQ(entries.size(), (256u << 10) / 16 + 1);
  EXPECT_EQ(entries.back().bytes, "truncated: " + std::to_string((4 << 20) - (256 << 10) / 16) +
                                      " bytes (limit 262144 bytes per call)");
  EXPECT_LT(bytes_on_disk(), 2u << 20);
}

TEST_F(LogStoreTest, SaysNothingOfTruncationWhenAllIsKept) {
  LogStore::Options options = small();
  options.call_bytes_max = 100;
  LogStore store(options);
  Ulid call = Ulid::make();
  std::string exact = std::string(99, 'x') + "\n";
  store.append("t", "f", call, Stream::kOut, exact);
  store.end_call("t", "f", call);
  EXPECT_EQ(texts(store.read("t", "f", call, 10, nullptr)), (Lines{std::string(99, 'x')}));
}

TEST_F(LogStoreTest, CountsThePartialLinesThatDoNotFit) {
  LogStore::Options options = small();
  options.call_bytes_max = 100;
  LogStore store(options);
  Ulid call = Ulid::make();
  store.append("t", "f", call, Stream::kErr, std::string(70, 'e'));
  store.append("t", "f", call, Stream::kOut, std::string(60, 'o'));
  store.end_call("t", "f", call);
  EXPECT_EQ(texts(store.read("t", "f", call, 10, nullptr)),
            (Lines{std::string(60, 'o'), std::string(40, 'e'),
                   "truncated: 30 bytes (limit 100 bytes per call)"}));
}

TEST_F(LogStoreTest, AFunctionCannotForgeAnEntry) {
  LogStore store(small());
  Ulid call = Ulid::make(), victim = Ulid::make();
  std::string forged;
  append_line(forged, LogEntry{now_us(), victim, Stream::kPlatform, "all is well"});
  store.append("t", "f", call, Stream::kOut, "x\n" + forged + "\r" + forged);
  store.end_call("t", "f", call);
  EXPECT_TRUE(store.read("t", "f", victim, 10, nullptr).empty());
  EXPECT_EQ(store.read("t", "f", call, 10, nullptr).size(), 3u);
}

TEST_F(LogStoreTest, FunctionsThatLoadAtTheSameTimeShareNothing) {
  LogStore::Options options = small();
  options.call_bytes_max = 100;
  LogStore store(options);
  store.append("t", "f", Ulid(), Stream::kOut, "secret of f");
  store.append("t", "g", Ulid(), Stream::kOut, std::string(200, 'g'));
  store.append("u", "f", Ulid(), Stream::kOut, "u");
  EXPECT_EQ(store.end_call("t", "g", Ulid()), 200u);
  EXPECT_EQ(store.end_call("u", "f", Ulid()), 1u);
  EXPECT_EQ(store.end_call("t", "f", Ulid()), 11u);
  EXPECT_EQ(texts(store.read("t", "f", std::nullopt, 10, nullptr)), (Lines{"secret of f"}));
  EXPECT_EQ(texts(store.read("u", "f", std::nullopt, 10, nullptr)), (Lines{"u"}));
}

TEST_F(LogStoreTest, NotesHaveLinesToo) {
  LogStore store(small());
  Ulid call = Ulid::make();
  store.note("t", "f", call, "first\nsecond");
  std::vector<LogEntry> entries = store.read("t", "f", call, 10, nullptr);
  EXPECT_EQ(texts(entries), (Lines{"first", "second"}));
  EXPECT_EQ(entries[0].stream, Stream::kPlatform);
}

TEST_F(LogStoreTest, RotatesWithinItsBoundAndSaysWhatIsGone) {
  LogStore::Options options = small();
  options.file_bytes_max = 10'000;
  options.files_max = 3;
  LogStore store(options);
  for (int i = 0; i < 1000; i++) {
    Ulid call = Ulid::make();
    store.append("t", "f", call, Stream::kOut, "line " + std::to_string(i) + "\n");
    store.end_call("t", "f", call);
    ASSERT_LE(log_numbers(folder()).size(), 3u);
    ASSERT_LE(bytes_on_disk(), 30'000u);
  }
  std::vector<LogEntry> entries = store.read("t", "f", std::nullopt, 10'000, nullptr);
  EXPECT_EQ(entries.back().bytes, "line 999");
  EXPECT_EQ(entries.front().stream, Stream::kPlatform);
  EXPECT_NE(entries.front().bytes.find("bytes of older log in 1 file(s) are gone"),
            std::string::npos);
  // From there on nothing is missing.
  int next = std::stoi(entries[1].bytes.substr(5));
  for (const LogEntry& entry : entries) {
    if (entry.stream == Stream::kOut) {
      EXPECT_EQ(entry.bytes, "line " + std::to_string(next++));
    }
  }
  EXPECT_EQ(next, 1000);
  EXPECT_EQ(texts(store.read("t", "f", std::nullopt, 2, nullptr)), (Lines{"line 998", "line 999"}));
}

TEST_F(LogStoreTest, FollowsAcrossRotation) {
  LogStore::Options options = small();
  options.file_bytes_max = 5'000;
  options.files_max = 4;
  LogStore store(options);
  LogStore::Position at;
  store.append("t", "f", Ulid::make(), Stream::kOut, "before\n");
  EXPECT_EQ(store.read("t", "f", std::nullopt, 10, &at).size(), 1u);
  int expected = 0;
  for (int i = 0; i < 2000; i++) {
    store.append("t", "f", Ulid::make(), Stream::kOut, std::to_string(i) + "\n");
    if (i % 37 != 0) continue;
    for (;;) {
      std::vector<LogEntry> entries = store.read_from("t", "f", std::nullopt, &at);
      if (entries.empty()) break;
      for (const LogEntry& entry : entries) {
        if (entry.stream == Stream::kOut) {
          ASSERT_EQ(entry.bytes, std::to_string(expected++));
        }
      }
    }
    ASSERT_EQ(expected, i + 1);
  }
}

TEST_F(LogStoreTest, AFollowerThatFellBehindGoesOnWithWhatIsLeft) {
  LogStore::Options options = small();
  options.file_bytes_max = 2'000;
  options.files_max = 2;
  LogStore store(options);
  store.append("t", "f", Ulid::make(), Stream::kOut, "first\n");
  LogStore::Position at{1, 0};
  for (int i = 0; i < 500; i++) store.append("t", "f", Ulid::make(), Stream::kOut, "line\n");
  std::vector<LogEntry> entries = store.read_from("t", "f", std::nullopt, &at);
  ASSERT_FALSE(entries.empty());
  EXPECT_EQ(entries[0].stream, Stream::kPlatform) << "the head says what is gone";
  // The function is deleted and made again: its files count from 1.
  store.remove("t", "f");
  EXPECT_FALSE(std::filesystem::exists(folder()));
  EXPECT_TRUE(store.read_from("t", "f", std::nullopt, &at).empty());
  store.append("t", "f", Ulid::make(), Stream::kOut, "anew\n");
  EXPECT_EQ(texts(store.read_from("t", "f", std::nullopt, &at)), (Lines{"anew"}));
}

TEST_F(LogStoreTest, FindsALongAgoCallInALargeLog) {
  LogStore::Options options = small();
  options.file_bytes_max = 2 << 20;
  LogStore store(options);
  Ulid old = Ulid::make();
  store.append("t", "f", old, Stream::kOut, "needle 1\nneedle 2\n");
  for (int i = 0; i < 30; i++) {
    store.append("t", "f", Ulid::make(), Stream::kOut, std::string(100 << 10, 'h') + "\n");
  }
  EXPECT_EQ(texts(store.read("t", "f", old, 10, nullptr)), (Lines{"needle 1", "needle 2"}));
}

TEST_F(LogStoreTest, KeepsFewDescriptorsOpenForManyFunctions) {
  LogStore store(small());
  auto open_files = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
  };
  auto before = open_files();
  for (int round = 0; round < 2; round++) {
    for (int i = 0; i < 200; i++) {
      store.append("t", "f" + std::to_string(i), Ulid::make(), Stream::kOut, "x\n");
    }
  }
  EXPECT_LE(open_files(), before + 64);
  for (int i = 0; i < 200; i++) {
    EXPECT_EQ(store.read("t", "f" + std::to_string(i), std::nullopt, 10, nullptr).size(), 2u);
  }
}

TEST_F(LogStoreTest, LeavesItsFolderForNoName) {
  LogStore store(small());
  for (const char* name : {"..", ".", "", "a/../../..", "/etc"}) {
    store.append(name, "f", Ulid(), Stream::kOut, "x\n");
    store.append("t", name, Ulid(), Stream::kOut, "x\n");
    store.end_call("t", name, Ulid());
    EXPECT_TRUE(store.read("t", name, std::nullopt, 10, nullptr).empty());
    store.remove("t", name);
  }
  EXPECT_EQ(store.lost_bytes(), 10u);
  EXPECT_TRUE(std::filesystem::exists(folder_));
  EXPECT_FALSE(std::filesystem::exists(path("f")));
}

TEST(LogLine, RefusesWhatIsNoEntry) {
  LogEntry entry;
  for (const char* line :
       {"", " ", "hello", "2025-11-23T12:00:00.012345Z",
        "2025-11-23T12:00:00.012345Z 01ARYZ6S41TSV4RRFFQ69G5FAV",
        "2025-11-23T12:00:00.012345Z 01ARYZ6S41TSV4RRFFQ69G5FAV out",
        "2025-11-23T12:00:00.012345Z 01ARYZ6S41TSV4RRFFQ69G5FAV out 5",
        "2025-11-23T12:00:00.012345Z 01ARYZ6S41TSV4RRFFQ69G5FAV out 4 hello",
        "2025-11-23T12:00:00.012345Z 01ARYZ6S41TSV4RRFFQ69G5FAV out -5 hello",
        "2025-11-23T12:00:00.012345Z 01ARYZ6S41TSV4RRFFQ69G5FAV out 99999999999999999999999 hello",
        "2025-11-23T12:00:00.012345Z 01ARYZ6S41TSV4RRFFQ69G5FAV in 5 hello",
        "2025-11-23T12:00:00.012345Z 01ARYZ6S41TSV4RRFFQ69G5FAU out 5 hello"}) {
    EXPECT_FALSE(parse_line(line, &entry)) << line;
  }
  ASSERT_TRUE(
      parse_line("2025-11-23T12:00:00.012345Z 01ARYZ6S41TSV4RRFFQ69G5FAV err+ 5 hello", &entry));
  EXPECT_TRUE(entry.continues);
  EXPECT_EQ(entry.stream, Stream::kErr);
  EXPECT_EQ(entry.bytes, "hello");
}

}  // namespace
}  // namespace hearth::ledger
