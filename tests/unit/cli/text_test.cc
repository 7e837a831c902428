// SPDX-License-Identifier: Apache-2.0
// The pure parts: units, times, tables, lists in pieces, ignore rules, near words.
#include "cli/text.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "cli/failure.h"
#include "cli/ignore.h"
#include "cli/rows.h"
#include "cli/table.h"
#include "cli/units.h"
#include "cli/usage_error.h"

namespace hearth::cli {
namespace {

TEST(Units, ReadAsPeopleWriteThem) {
  EXPECT_EQ(human_bytes(0), "0 B");
  EXPECT_EQ(human_bytes(1023), "1023 B");
  EXPECT_EQ(human_bytes(1024), "1.00 KiB");
  EXPECT_EQ(human_bytes(1536 * 1024), "1.50 MiB");
  EXPECT_EQ(human_bytes(1023 * 1024), "1.00 MiB");  // never "1023 KiB", four digits wide
  EXPECT_EQ(human_bytes(UINT64_MAX), "16384 PiB");
  EXPECT_EQ(human_us(999), "999 us");
  EXPECT_EQ(human_us(1000), "1.00 ms");
  EXPECT_EQ(human_us(999'499), "999 ms");
  EXPECT_EQ(human_us(999'500), "1.00 s");
  EXPECT_EQ(human_us(59'990'000), "60.0 s");
  EXPECT_EQ(human_us(61'000'000), "1 min 1 s");
  EXPECT_EQ(human_seconds(90'000), "1 d 1 h");
  EXPECT_EQ(human_count(0), "0");
  EXPECT_EQ(human_count(999), "999");
  EXPECT_EQ(human_count(1000), "1 000");
  EXPECT_EQ(human_count(1234567), "1 234 567");
}

TEST(Units, TimesAreReadInEveryWrittenForm) {
  constexpr uint64_t kNow = 1'700'000'000'000'000;
  EXPECT_EQ(parse_time("90s", kNow), kNow - 90'000'000);
  EXPECT_EQ(parse_time("2h", kNow), kNow - 7'200'000'000);
  EXPECT_EQ(parse_time("1000000000w", kNow), 0u);  // before 1970 is everything
  EXPECT_EQ(parse_time("1970-01-02", kNow), 86'400'000'000u);
  EXPECT_EQ(parse_time("1970-01-01T00:01:02Z", kNow), 62'000'000u);
  EXPECT_EQ(parse_time("1970-01-01 00:01", kNow), 60'000'000u);
  EXPECT_EQ(parse_time("1700000000", kNow), kNow);
  for (const char* text : {"", "s", "-1s", "1", "1.5h", "2025-13-01", "2025-02-29", "1970-01-01T",
                           "9999999999999999", "18446744073709551615s", "now"})
    EXPECT_EQ(parse_time(text, kNow), std::nullopt) << text;
}

TEST(Text, NoControlCharacterSurvives) {
  std::string all;
  for (int c = 0; c < 256; ++c) all += static_cast<char>(c);
  for (unsigned char c : escape_controls(all)) EXPECT_TRUE(c >= 0x20 && c != 0x7f);
  EXPECT_EQ(escape_controls("a\x1b[2J"), "a\\x1b[2J");
  EXPECT_EQ(escape_controls("\xc2\x9b"), "\\u009b");
  EXPECT_EQ(escape_controls("h\xc3\xa9\n", "\n"), "h\xc3\xa9\n");
  EXPECT_EQ(one_line("a\nb\n\n"), "a | b");
  EXPECT_EQ(width_of("h\xc3\xa9"), 2u);
}

// What is written to an Output.
std::string written(const std::function<void(Output&)>& write) {
  char name[] = "/tmp/hearth-output-XXXXXX";
  int fd = ::mkstemp(name);
  Output output(fd);
  write(output);
  output.flush();
  std::ifstream file(name);
  std::stringstream text;
  text << file.rdbuf();
  ::close(fd);
  ::unlink(name);
  return text.str();
}

TEST(Table, LeavesOutColumnsThatNobodyFills) {
  EXPECT_EQ(written([](Output& output) {
              Table table(output, {{"A"}, {"B"}, {"N", Align::kRight}});
              table.add({"x", "", "1"});
              table.add({"longer", "", ""});
              table.finish();
            }),
            "A       N\nx       1\nlonger  -\n");
}

TEST(Table, WritesALongListWithoutHoldingIt) {
  std::string text = written([](Output& output) {
    Table table(output, {{"N", Align::kRight}, {"LATE"}});
    for (size_t i = 0; i < Table::kRowsMeasured; ++i) table.add({"1", "x"});
    table.add({"1234567", "x"});  // wider than what was measured: it sticks out, it is not cut
    table.finish();
    EXPECT_EQ(table.rows(), Table::kRowsMeasured + 1);
  });
  EXPECT_TRUE(text.ends_with("1  x\n1234567  x\n"));
  EXPECT_EQ(written([](Output& output) { Table(output, {{"A"}}).finish(); }), "");
}

std::vector<std::string> split(std::string_view text, size_t piece) {
  std::vector<std::string> rows;
  RowSplitter splitter([&](std::string_view row) { rows.emplace_back(row); });
  for (size_t i = 0; i < text.size(); i += piece) splitter.feed(text.substr(i, piece));
  splitter.finish();
  return rows;
}

TEST(Rows, AreCutWhereverThePiecesEnd) {
  std::string_view text = " [ {\"a\": \"],\\\"}\"} ,\n[1,[2]], 3,\"x\" ]\n";
  std::vector<std::string> expected{"{\"a\":\"],\\\"}\"}", "[1,[2]]", "3", "\"x\""};
  for (size_t piece = 1; piece < 12; ++piece) EXPECT_EQ(split(text, piece), expected) << piece;
  EXPECT_TRUE(split("[]", 1).empty());
}

TEST(Rows, RefuseWhatIsNoWholeList) {
  for (const char* text : {"", "{}", "[", "[1", "[1,2", "[\"", "[]x", "x[]", "<html>"})
    EXPECT_THROW(split(text, 3), Failure) << text;
}

TEST(Rows, AreBounded) {
  RowSplitter in_string([](std::string_view) {});
  in_string.feed("[\"");
  std::string piece(1 << 20, 'x');
  EXPECT_THROW(for (int i = 0; i < 10; ++i) in_string.feed(piece), Failure);
  LineSplitter lines([](std::string_view) {});
  EXPECT_THROW(for (int i = 0; i < 10; ++i) lines.feed(piece), Failure);
}

TEST(Lines, KeepALastLineWithoutNewline) {
  std::vector<std::string> lines;
  LineSplitter splitter([&](std::string_view line) { lines.emplace_back(line); });
  for (char c : std::string_view("ab\n\ncd\ne")) splitter.feed({&c, 1});
  splitter.finish();
  EXPECT_EQ(lines, (std::vector<std::string>{"ab", "cd", "e"}));
}

TEST(Ignore, MatchesNamesAnywhereAndPathsFromTheRoot) {
  Ignore ignore("*.key\n# no\nbuild/\n/docs/*.md\na/b\n");
  EXPECT_TRUE(ignore.ignores("x.key", false));
  EXPECT_TRUE(ignore.ignores("deep/in/x.key", false));
  EXPECT_TRUE(ignore.ignores("build", true));
  EXPECT_FALSE(ignore.ignores("build", false));
  EXPECT_TRUE(ignore.ignores("docs/a.md", false));
  EXPECT_FALSE(ignore.ignores("docs/deep/a.md", false));
  EXPECT_TRUE(ignore.ignores("a/b", true));
  EXPECT_FALSE(ignore.ignores("x/a/b", true));
  EXPECT_FALSE(ignore.ignores("# no", false));
  EXPECT_TRUE(Ignore().ignores("lib/__pycache__", true));
  EXPECT_FALSE(Ignore().ignores("node_modules", true));
  EXPECT_TRUE(Ignore("last").ignores("last", false));
  EXPECT_THROW(Ignore("!x"), Failure);
}

TEST(Nearest, FindsTheMistypedWordOnly) {
  std::vector<std::string> words{"deploy", "delete", "describe", "list"};
  EXPECT_EQ(nearest("deplyo", words), "deploy");
  EXPECT_EQ(nearest("lst", words), "list");
  EXPECT_EQ(nearest("delet", words), "delete");
  EXPECT_EQ(nearest("xyzzy", words), std::nullopt);
  EXPECT_EQ(nearest(std::string(100000, 'x'), words), std::nullopt);
}

TEST(Failure, SurvivesAnyBody) {
  for (const char* body : {"", "{}", "[]", "null", "{\"error\":1}", "{\"error\":{}}", "\xff\xfe",
                           "{\"error\":{\"kind\":7,\"message\":[],\"limit\":null}}"})
    EXPECT_EQ(failure_of(500, body, "").status(), Status::kRefused) << body;
  EXPECT_EQ(failure_of(504, "", "").status(), Status::kTimeout);
}

}  // namespace
}  // namespace hearth::cli
