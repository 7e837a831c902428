// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>

#include "tests/unit/registry/archives.h"
#include "tests/unit/registry/bundle_fixture.h"

// Archives that lie, are cut or damaged, or want more than there is.
namespace hearth::registry {
namespace {

namespace fs = std::filesystem;
using archives::File;
using archives::gzip;
using archives::tar;
using archives::zip;

const File kToml{"function.toml", "name = \"f\"\n"};

class HostileBundle : public BundleFixture {};

// Bounds

TEST_F(HostileBundle, BytesAreCountedAsWrittenNotAsClaimed) {
  BundleBounds bounds;
  bounds.bytes_max = 1000;
  std::vector<File> full = {kToml, {"a", std::string(1000 - kToml.content.size(), 'x')}};
  accepted(zip(full), bounds);
  fs::remove_all(target());
  full.push_back({"b", "y"});
  for (const std::string& bytes : {zip(full), tar(full), gzip(tar(full))}) {
    BundleError error = refused(bytes, bounds);
    EXPECT_EQ(error.limit, "bytes<=1000");
    EXPECT_EQ(error.value, "1001");
  }
  File liar{"b", std::string(5000, 'y')};
  liar.size_claimed = 1;
  refused(zip({kToml, liar}), bounds);
}

TEST_F(HostileBundle, AZipBombIsRefusedByItsRatio) {
  std::string zeros(64u << 20, '\0');
  for (const std::string& bytes :
       {zip({kToml, {"bomb", zeros}}), gzip(tar({kToml, {"bomb", zeros}}))}) {
    ASSERT_LT(bytes.size(), 100u * 1024);
    EXPECT_EQ(refused(bytes).limit, "ratio<=200");
  }
  // One that stays below 1 MiB does no harm, whatever its ratio.
  accepted(zip({kToml, {"small", zeros.substr(0, 1u << 19)}}));
}

TEST_F(HostileBundle, ABombInATarsHeadersIsBoundedToo) {
  BundleBounds bounds;
  bounds.bytes_max = 4096;
  bounds.entries_max = 2;
  // Names of entries cost no content; the stream has a bound of its own.
  File name{"././@LongLink", std::string(512 * 1024, 'n'), 0644, 'L'};
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += tar({name}, false);
  EXPECT_NE(refused(gzip(bytes + tar({kToml})), bounds).message, "");
  EXPECT_NE(refused(gzip(tar({kToml}) + std::string(8u << 20, '\0')), bounds).limit, "");
}

TEST_F(HostileBundle, EntriesHaveABoundFoldersThatOnlyAPathNamesIncluded) {
  BundleBounds bounds;
  bounds.entries_max = 4;
  accepted(tar({kToml, {"a/b/c", ""}}), bounds);
  fs::remove_all(target());
  BundleError error = refused(tar({kToml, {"a/b/c/d", ""}}), bounds);
  EXPECT_EQ(error.limit, "entries<=4");
  EXPECT_EQ(error.value, "5");
  File folder{"a/", "", 0755, '5'};
  EXPECT_EQ(refused(tar({kToml, folder, folder, folder, folder}), bounds).limit, "entries<=4");
}

TEST_F(HostileBundle, TwentyThousandAndOneEntriesAreTooMany) {
  std::vector<File> files = {kToml};
  for (int i = 0; i < 20000; ++i) files.push_back({"f" + std::to_string(i), ""});
  BundleError error = refused(gzip(tar(files)));
  EXPECT_EQ(error.limit, "entries<=20000");
  EXPECT_EQ(error.value, "20001");
}

TEST_F(HostileBundle, DepthAndPathsHaveBounds) {
  auto deep = [](int parts) {
    std::string path = "f";
    for (int i = 1; i < parts; ++i) path = "d/" + path;
    return path;
  };
  accepted(tar({kToml, {deep(64), "x"}}));
  fs::remove_all(target());
  BundleError error = refused(tar({kToml, {deep(65), "x"}}));
  EXPECT_EQ(error.limit, "depth<=64");
  EXPECT_EQ(error.value, "65");
  BundleBounds bounds;
  bounds.path_bytes_max = 3000;
  EXPECT_EQ(refused(zip({kToml, {deep(1000), "x"}}), bounds).value, "1000");
  std::string part(200, 'p');
  std::string longest = part + "/" + part + "/" + part + "/" + part + "/" + part;  // 1004 bytes
  accepted(zip({kToml, {longest + std::string(20, 'x'), ""}}));
  fs::remove_all(target());
  error = refused(zip({kToml, {longest + std::string(21, 'x'), ""}}));
  EXPECT_EQ(error.limit, "path_bytes<=1024");
  EXPECT_EQ(error.value, "1025");
  error = refused(zip({kToml, {"l", "", 0777, '2', std::string(1025, 'x')}}));
  EXPECT_EQ(error.limit, "link_bytes<=1024");
}

// Damage

TEST_F(HostileBundle, WhatIsNoArchiveIsRefused) {
  EXPECT_NE(refused("").message.find("0 bytes"), std::string::npos);
  for (const std::string& bytes :
       {std::string("x"), std::string("#!/bin/sh\n"), std::string(100000, 'x'),
        std::string(1024, '\0'), std::string("7z\xbc\xaf\x27\x1c"), std::string("Rar!\x1a\x07"),
        std::string("!<arch>\n")}) {
    EXPECT_NE(refused(bytes).message.find("no archive that Hearth reads"), std::string::npos);
  }
  EXPECT_NE(refused("PK\x03\x04").message.find("damaged or cut short"), std::string::npos);
  EXPECT_NE(refused("\x1f\x8b").message, "");
  EXPECT_NE(refused(gzip("no tar in here")).message, "");
  EXPECT_NE(refused(gzip("")).message, "");
  EXPECT_NE(refused(gzip(gzip(tar({kToml})))).message, "");
  EXPECT_NE(refused(zip({})).message, "");
  EXPECT_NE(refused(tar({})).message, "");
}

TEST_F(HostileBundle, AnArchiveThatIsCutAnywhereIsRefused) {
  const std::vector<File> files = {kToml, {"a", std::string(700, 'x')}, {"b/c", "yyy"}};
  for (const std::string& bytes : {tar(files), gzip(tar(files)), zip(files)}) {
    for (size_t keep = 0; keep + 512 < bytes.size(); keep += 13) refused(bytes.substr(0, keep));
    for (size_t cut = 513; cut < 530 && cut < bytes.size(); ++cut)
      refused(bytes.substr(0, bytes.size() - cut));
  }
  std::string packed = gzip(tar(files));
  for (size_t cut = 1; cut < 40; ++cut) refused(packed.substr(0, packed.size() - cut));
  std::string zipped = zip(files);
  for (size_t cut = 1; cut < 40; ++cut) refused(zipped.substr(0, zipped.size() - cut));
  // Cut between two entries a tar looks whole but for its end mark.
  EXPECT_NE(refused(tar(files, false)).message.find("end mark is missing"), std::string::npos);
  EXPECT_NE(refused(gzip(tar(files, false))).message.find("end mark is missing"),
            std::string::npos);
}

TEST_F(HostileBundle, WhatFollowsTheEndMarkIsNotSilentlyLost) {
  EXPECT_NE(refused(tar({kToml}) + tar({{"a", "x"}})).message.find("goes on after its end mark"),
            std::string::npos);
  accepted(tar({kToml}) + std::string(10240, '\0'));
}

TEST_F(HostileBundle, AWrongChecksumIsRefused) {
  File wrong = kToml;
  wrong.crc_flip = 1;
  EXPECT_NE(refused(zip({wrong})).message.find("damaged"), std::string::npos);
  std::string packed = gzip(tar({kToml}));
  packed[packed.size() - 6] ^= 1;  // in the checksum
  EXPECT_NE(refused(packed).message.find("damaged"), std::string::npos);
  std::string length = gzip(tar({kToml}));
  length[length.size() - 1] ^= 1;
  EXPECT_NE(refused(length).message.find("damaged"), std::string::npos);
}

TEST_F(HostileBundle, NoFlippedBitInAPackedTarChangesTheContentUnseen) {
  const std::vector<File> files = {kToml, {"a", "some text that is packed"}};
  const std::string good = gzip(tar(files));
  std::string hash = accepted(good).hash;
  fs::remove_all(target());
  for (size_t at = 0; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] ^= 0x10;
    write_archive(bad);
    auto result = unpack(archive(), target(), {});
    if (auto* bundle = std::get_if<Bundle>(&result)) {
      EXPECT_EQ(bundle->hash, hash) << at;
    } else {
      EXPECT_FALSE(fs::exists(target()));
    }
    fs::remove_all(target());
  }
}

TEST_F(HostileBundle, ADamagedZipNeverLeavesAnythingOutsideItsTarget) {
  const std::vector<File> files = {kToml, {"d/a", "text"}, {"l", "", 0777, '2', "d/a"}};
  const std::string good = zip(files);
  for (size_t at = 0; at < good.size(); ++at) {
    for (int bit : {0x01, 0x08, 0x80}) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ bit);
      write_archive(bad);
      auto result = unpack(archive(), target(), {});
      EXPECT_EQ(fs::exists(target()), std::holds_alternative<Bundle>(result));
      fs::remove_all(target());
      ASSERT_EQ(names_in_dir(), std::set<std::string>{"archive"}) << at;
    }
  }
}

TEST_F(HostileBundle, AnEncryptedZipIsRefused) {
  File secret = kToml;
  secret.zip_flags = 1;
  EXPECT_NE(refused(zip({secret})).message.find("encrypted"), std::string::npos);
}

TEST_F(HostileBundle, SparseFilesAreRefused) {
  // GNU's old form: one piece of data at 1 GiB of a file that claims to be 1 GiB and 5 bytes.
  File hole{"hole", "hello", 0644, 'S'};
  std::string bytes = tar({hole}, false);
  auto put = [&](size_t at, const std::string& text) { bytes.replace(at, text.size(), text); };
  put(386, "10000000000");
  put(398, "00000000005");
  put(483, "10000000005");
  put(257, std::string("ustar  \0", 8));
  put(148, "        ");
  unsigned sum = 0;
  for (size_t i = 0; i < 512; ++i) sum += static_cast<unsigned char>(bytes[i]);
  char text[8];
  std::snprintf(text, sizeof text, "%06o", sum);
  put(148, text);
  BundleError error = refused(bytes + tar({kToml}));
  EXPECT_NE(error.message.find("sparse"), std::string::npos) << error.message;
}

TEST_F(HostileBundle, SizesThatNoArchiveCanHaveAreRefused) {
  for (int64_t size : {int64_t{1} << 32, (int64_t{1} << 33) - 1}) {
    File liar{"a", "x"};
    liar.size_claimed = size;
    refused(tar({kToml, liar}));
  }
  File liar{"a", "x"};
  liar.size_claimed = 0xffffffff;
  refused(zip({kToml, liar}));
}

// The host

// Runs `body` in a child, so that its limits and mounts are its own; its failures come back as a
// non-zero status.
int in_child(const std::function<int()>& body) {
  pid_t pid = ::fork();
  if (pid == 0) ::_exit(body());
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}

// 0: thrown with this errno, and the target is gone.
int fails_with(const std::string& archive, const std::string& target, int code) {
  try {
    auto result = unpack(archive, target, {});
    return std::holds_alternative<Bundle>(result) ? 1 : 2;
  } catch (const sys::Error& error) {
    if (error.code() != code) return 3;
  }
  return fs::exists(target) ? 4 : 0;
}

std::string incompressible(size_t bytes) {
  std::string out;
  uint32_t state = 1;
  while (out.size() < bytes) out += static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
  return out;
}

TEST_F(HostileBundle, AFileBeyondTheProcessesLimitLeavesNothing) {
  write_archive(tar({kToml, {"big", incompressible(300000)}}));
  int status = in_child([&] {
    struct rlimit limit = {100000, 100000};
    ::signal(SIGXFSZ, SIG_IGN);
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return 50;
    return fails_with(archive(), target(), EFBIG);
  });
  EXPECT_EQ(status, 0);
}

TEST_F(HostileBundle, AFullDiskLeavesNothing) {
  write_archive(tar({kToml, {"d/small", "x"}, {"big", incompressible(3u << 20)}}));
  std::string disk = dir() + "/disk";
  fs::create_directory(disk);
  int status = in_child([&] {
    // Root needs no user namespace; others can mount in one of their own.
    if (::unshare(CLONE_NEWNS) != 0 && ::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return 77;
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return 77;
    if (::mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=1m") != 0) return 77;
    if (int failed = fails_with(archive(), disk + "/target", ENOSPC)) return failed;
    // What was written is free again: a bundle that fits goes in.
    write_archive(tar({kToml, {"fits", incompressible(500u << 10)}}));
    return std::holds_alternative<Bundle>(unpack(archive(), disk + "/target", {})) ? 0 : 5;
  });
  if (status == 77 && !std::getenv("HEARTH_TESTS_MUST_RUN"))
    GTEST_SKIP() << "this host allows no mount";
  EXPECT_EQ(status, 0);
}

TEST_F(HostileBundle, NoDescriptorsLeftIsTheHostsFailureAndLeavesNothing) {
  write_archive(tar({kToml, {"a/b/c", "x"}}));
  for (int spare = 0; spare < 6; ++spare) {
    int status = in_child([&] {
      int next = ::open("/dev/null", O_RDONLY);
      struct rlimit limit = {static_cast<rlim_t>(next + spare), static_cast<rlim_t>(next + spare)};
      ::close(next);
      if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) return 50;
      int failed = fails_with(archive(), target(), EMFILE);
      return failed == 1 ? 60 : failed;  // enough descriptors
    });
    EXPECT_TRUE(status == 0 || (status == 60 && spare > 3)) << spare << " spare: " << status;
    fs::remove_all(target());
  }
}

}  // namespace
}  // namespace hearth::registry
