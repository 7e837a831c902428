// SPDX-License-Identifier: Apache-2.0
#include "daemon/registry/bundle.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "tests/unit/registry/archives.h"
#include "tests/unit/registry/bundle_fixture.h"

namespace hearth::registry {
namespace {

namespace fs = std::filesystem;
using archives::by_library;
using archives::File;
using archives::gzip;
using archives::tar;
using archives::zip;

const File kToml{"function.toml", "name = \"f\"\n"};
const File kCode{"app.py", "def handle(event, context): return event\n"};

const std::vector<File> kTree = {
    {"./", "", 0755, '5'},
    {"./function.toml", "name = \"f\"\n"},
    {"./src/", "", 0700, '5'},
    {"./src/app.py", "pass\n", 06755},
    {"./src/data", std::string(100000, 'x'), 0600},
    {"./src/link", "", 0777, '2', "../function.toml"},
    {"./grüße.txt", "", 0666},
};

class BundleTest : public BundleFixture {};

TEST_F(BundleTest, UnpacksWhatIsPackedWithPlainModes) {
  for (const std::string& bytes :
       {tar(kTree), gzip(tar(kTree)), zip(kTree), by_library(kTree, "zip"),
        by_library(kTree, "pax"), by_library(kTree, "gnutar")}) {
    Bundle bundle = accepted(bytes);
    EXPECT_EQ(bundle.manifest_text, "name = \"f\"\n");
    EXPECT_EQ(bundle.bytes, 11u + 5u + 100000u);
    EXPECT_EQ(bundle.entries, 6u);
    EXPECT_EQ(content("src/app.py"), "pass\n");
    EXPECT_EQ(content("src/data"), std::string(100000, 'x'));
    EXPECT_EQ(content("grüße.txt"), "");
    EXPECT_EQ(fs::read_symlink(target() + "/src/link"), "../function.toml");
    EXPECT_EQ(mode(""), 040755u);
    EXPECT_EQ(mode("src"), 040755u);
    EXPECT_EQ(mode("src/app.py"), 0100755u);  // setuid and setgid are gone
    EXPECT_EQ(mode("src/data"), 0100644u);
    EXPECT_EQ(mode("grüße.txt"), 0100644u);
    fs::remove_all(target());
  }
}

TEST_F(BundleTest, ModesDoNotDependOnTheUmask) {
  mode_t before = ::umask(077);
  accepted(tar(kTree));
  ::umask(before);
  EXPECT_EQ(mode(""), 040755u);
  EXPECT_EQ(mode("src"), 040755u);
  EXPECT_EQ(mode("src/data"), 0100644u);
}

TEST_F(BundleTest, TheSameContentHasTheSameHashWhateverTheArchive) {
  auto hash_of = [&](const std::string& bytes) {
    std::string hash = accepted(bytes).hash;
    fs::remove_all(target());
    return hash;
  };
  std::string hash = hash_of(tar(kTree));
  EXPECT_EQ(hash.size(), 64u);
  EXPECT_EQ(hash.find_first_not_of("0123456789abcdef"), std::string::npos);
  EXPECT_EQ(hash_of(zip(kTree)), hash);
  EXPECT_EQ(hash_of(by_library(kTree, "zip")), hash);
  EXPECT_EQ(hash_of(by_library(kTree, "pax")), hash);
  std::vector<File> reversed(kTree.rbegin(), kTree.rend());
  EXPECT_EQ(hash_of(gzip(tar(reversed))), hash);
  std::vector<File> no_folders;
  for (const File& file : kTree) {
    if (file.type != '5') no_folders.push_back(file);
  }
  EXPECT_EQ(hash_of(tar(no_folders)), hash);
}

TEST_F(BundleTest, EveryDifferenceInContentChangesTheHash) {
  const std::vector<std::vector<File>> trees = {
      {kToml},
      {kToml, {"a", ""}},
      {kToml, {"b", ""}},
      {kToml, {"a", "x"}},
      {kToml, {"a", "", 0755}},
      {kToml, {"a", "", 0755, '5'}},
      {kToml, {"a", "", 0777, '2', "b"}},
      {kToml, {"a", "", 0777, '2', "function.toml"}},
      {kToml, {"a/b", ""}},
      {kToml, {"a", "", 0755, '5'}, {"b", ""}},
  };
  std::set<std::string> hashes;
  for (const auto& tree : trees) {
    hashes.insert(accepted(tar(tree)).hash);
    fs::remove_all(target());
  }
  EXPECT_EQ(hashes.size(), trees.size());
}

TEST_F(BundleTest, ManyEntriesAreUnpackedAndSyncedTogether) {
  std::vector<File> files = {kToml};
  for (int i = 0; i < 500; ++i)
    files.push_back({"d" + std::to_string(i % 7) + "/f" + std::to_string(i), "x"});
  EXPECT_EQ(accepted(zip(files)).entries, 1u + 7u + 500u);
  EXPECT_EQ(content("d3/f3"), "x");
}

TEST_F(BundleTest, AnExistingTargetIsLeftAlone) {
  fs::create_directory(target());
  write_file(target() + "/mine", "x");
  write_archive(tar({kToml}));
  try {
    unpack(archive(), target(), {});
    FAIL() << "unpacked over a folder";
  } catch (const sys::Error& error) {
    EXPECT_EQ(error.code(), EEXIST);
  }
  EXPECT_EQ(content("mine"), "x");
}

TEST_F(BundleTest, AMissingArchiveIsTheHostsFailure) {
  try {
    unpack(archive() + "-none", target(), {});
    FAIL();
  } catch (const sys::Error& error) {
    EXPECT_EQ(error.code(), ENOENT);
  }
  EXPECT_FALSE(fs::exists(target()));
}

TEST_F(BundleTest, TheManifestMustBeAtTheTop) {
  EXPECT_EQ(refused(tar({kCode})).message, "function.toml is missing at the top of the archive");
  EXPECT_NE(refused(tar({{"thumb/function.toml", "x"}, {"thumb/app.py", ""}}))
                .message.find("is in thumb/: pack what"),
            std::string::npos);
  EXPECT_NE(refused(tar({{"function.toml", "", 0755, '5'}})).message.find("missing"),
            std::string::npos);
  EXPECT_NE(
      refused(tar({{"a", "x"}, {"function.toml", "", 0777, '2', "a"}})).message.find("missing"),
      std::string::npos);
  BundleError large = refused(tar({{"function.toml", std::string(65537, '#')}}));
  EXPECT_EQ(large.limit, "function.toml bytes<=65536");
}

// Names

struct BadName {
  std::string name, says;
};
class BadNames : public BundleFixture, public testing::WithParamInterface<BadName> {};

TEST_P(BadNames, AreRefusedAndNothingIsLeftOutsideOrInside) {
  for (const std::string& bytes :
       {tar({kToml, {GetParam().name, "x"}}), zip({kToml, {GetParam().name, "x"}})}) {
    EXPECT_NE(refused(bytes).message.find(GetParam().says), std::string::npos);
    EXPECT_EQ(names_in_dir(), std::set<std::string>{"archive"});
  }
}

INSTANTIATE_TEST_SUITE_P(
    Each, BadNames,
    testing::Values(BadName{"../evil", "'..' is not allowed"}, BadName{"a/../../evil", "'..'"},
                    BadName{"a/..", "'..'"}, BadName{"..", "'..'"}, BadName{"./../evil", "'..'"},
                    BadName{"/etc/evil", "absolute"}, BadName{"//evil", "absolute"},

                    BadName{"a//b", "empty parts"}, BadName{"a/./b", "empty parts"},
                    BadName{"a\nb", "control characters"}, BadName{"a\x7f", "control characters"},
                    BadName{"\x1b[31m", "control characters"}, BadName{"a\xff", "not UTF-8"},
                    BadName{"\xc0\xae\xc0\xae/evil", "not UTF-8"},
                    BadName{"\xed\xa0\x80", "not UTF-8"}, BadName{"\xf5\x80\x80\x80", "not UTF-8"},
                    BadName{"a\xe2\x82", "not UTF-8"},
                    BadName{std::string(256, 'n'), "name_bytes is 256, at most 255"}));

TEST_F(BundleTest, BackslashesAreRefusedOrTakenForSlashesAndThenChecked) {
  for (const char* name : {"a\\..\\evil", "C:\\evil", "..\\evil", "\\evil"}) {
    EXPECT_NE(refused(tar({kToml, {name, "x"}})).message.find("backslashes"), std::string::npos)
        << name;
  }
  // Windows packs zips this way; the library turns the names into what they mean.
  EXPECT_NE(refused(zip({kToml, {"a\\..\\evil", "x"}})).message.find("'..' is not"),
            std::string::npos);
  EXPECT_NE(refused(zip({kToml, {"..\\evil", "x"}})).message.find("'..' is not"),
            std::string::npos);
  EXPECT_NE(refused(zip({kToml, {"\\evil", "x"}})).message.find("absolute"), std::string::npos);
  accepted(zip({kToml, {"a\\b", "x"}}));
  EXPECT_EQ(content("a/b"), "x");
}

TEST_F(BundleTest, ANameEndsAtANulAndIsCheckedAsWhatItThenIs) {
  std::string hidden("a\0/../../evil", 13);
  accepted(zip({kToml, {hidden, "x"}}));
  EXPECT_EQ(content("a"), "x");
  EXPECT_EQ(names_in_dir(), (std::set<std::string>{"archive", "target"}));
  fs::remove_all(target());
  EXPECT_NE(refused(zip({kToml, {std::string("\0evil", 5), "x"}})).message, "");
}

// Kinds and links

TEST_F(BundleTest, HardLinksDevicesAndFifosAreRefused) {
  auto says = [&](char type) {
    return refused(tar({kToml, {"x", "", 0644, type, "function.toml"}})).message;
  };
  EXPECT_NE(says('1').find("hard links"), std::string::npos);
  EXPECT_NE(says('3').find("a character device"), std::string::npos);
  EXPECT_NE(says('4').find("a block device"), std::string::npos);
  EXPECT_NE(says('6').find("a FIFO"), std::string::npos);
  EXPECT_NE(refused(zip({kToml, {"x", "", 0644, '3'}})).message.find("a character device"),
            std::string::npos);
}

TEST_F(BundleTest, LinksThatStayInsideAreKept) {
  accepted(tar({kToml,
                {"a/b/up", "", 0777, '2', "../../function.toml"},
                {"a/root", "", 0777, '2', ".."},
                {"a/dangling", "", 0777, '2', "none"},
                {"a/self", "", 0777, '2', "."},
                {"loop", "", 0777, '2', "loop"}}));
  EXPECT_EQ(fs::read_symlink(target() + "/a/b/up"), "../../function.toml");
  EXPECT_EQ(fs::read_symlink(target() + "/loop"), "loop");
}

TEST_F(BundleTest, LinksThatLeaveTheBundleAreRefused) {
  for (const char* says :
       {"/etc/passwd", "../x", "./../x", "../../x", "..", "a/../../x", "//x", ""}) {
    for (const std::string& bytes :
         {tar({kToml, {"l", "", 0777, '2', says}}), zip({kToml, {"l", "", 0777, '2', says}})}) {
      EXPECT_NE(refused(bytes).message, "") << says;
    }
  }
  EXPECT_NE(
      refused(tar({kToml, {"a/l", "", 0777, '2', "../../x"}})).message.find("leaves the bundle"),
      std::string::npos);
}

TEST_F(BundleTest, LinksThroughLinksCannotClimb) {
  // p/q/s is the bundle's own folder, so s/.. would be the one above.
  BundleError error =
      refused(tar({kToml, {"p/q/s", "", 0777, '2', "../.."}, {"t", "", 0777, '2', "p/q/s/.."}}));
  EXPECT_NE(error.message.find("'..' may only lead"), std::string::npos);
}

TEST_F(BundleTest, NothingIsWrittenThroughALink) {
  fs::create_directory(dir() + "/outside");
  for (const std::string& to : {std::string("."), std::string("sub")}) {
    BundleError error =
        refused(tar({kToml, {"sub/f", "x"}, {"l", "", 0777, '2', to}, {"l/evil", "x"}}));
    EXPECT_NE(error.message.find("'l' is no folder"), std::string::npos);
  }
  EXPECT_NE(refused(tar({kToml, {"l", "", 0777, '2', "a"}, {"l", "x"}})).message.find("twice"),
            std::string::npos);
  EXPECT_NE(refused(tar({kToml, {"d/f", "x"}, {"d", "", 0777, '2', "a"}})).message.find("twice"),
            std::string::npos);
  EXPECT_TRUE(fs::is_empty(dir() + "/outside"));
}

TEST_F(BundleTest, PathsGivenTwiceAndFilesUsedAsFoldersAreRefused) {
  EXPECT_NE(refused(tar({kToml, kToml})).message.find("twice"), std::string::npos);
  EXPECT_NE(refused(zip({kToml, {"a", "1"}, {"./a", "2"}})).message.find("twice"),
            std::string::npos);
  EXPECT_NE(refused(tar({kToml, {"a", "1"}, {"a/b", "2"}})).message.find("'a' is no folder"),
            std::string::npos);
  EXPECT_NE(refused(tar({kToml, {"a/b", "1"}, {"a", "2"}})).message.find("twice"),
            std::string::npos);
  EXPECT_NE(refused(tar({kToml, {"a", "1"}, {"a/", "", 0755, '5'}})).message.find("twice"),
            std::string::npos);
  // A folder named again is what `tar -r` writes.
  accepted(tar({kToml, {"a/", "", 0755, '5'}, {"a/b", ""}, {"a/", "", 0755, '5'}}));
}

}  // namespace
}  // namespace hearth::registry
