// SPDX-License-Identifier: Apache-2.0
// Emptying a folder, where its bounds and failures can be had without a sandbox.
#include "sandbox/init/scrub.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "sandbox/sys/error.h"

namespace hearth::sandbox::init {
namespace {

namespace fs = std::filesystem;

class ScrubTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/hearth-scrub-test.XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    folder_ = name;
  }
  void TearDown() override { fs::remove_all(folder_); }

  void make(const std::string& path) {
    fs::create_directories(fs::path(folder_ + "/" + path).parent_path());
    std::ofstream(folder_ + "/" + path) << "x";
  }
  static Clock::time_point later() { return Clock::now() + std::chrono::seconds(60); }

  std::string folder_;
};

TEST_F(ScrubTest, EmptiesTheFolderAndKeepsIt) {
  make("a");
  make("b/c/d/e");
  make("b/c/f");
  Scratch(folder_).empty(later());
  EXPECT_TRUE(fs::is_empty(folder_));
}

TEST_F(ScrubTest, StopsAtTheDeadline) {
  make("a");
  try {
    Scratch(folder_).empty(Clock::now());
    FAIL();
  } catch (const sys::Error& error) {
    EXPECT_EQ(error.code(), ETIMEDOUT);
    EXPECT_EQ(error.object(), folder_);
  }
  EXPECT_TRUE(fs::exists(folder_ + "/a"));
}

// A mount is what no unlink removes; user code cannot make one.
TEST_F(ScrubTest, NamesWhatItCannotRemove) {
  make("busy/a");
  ASSERT_EQ(::unshare(CLONE_NEWNS), 0) << "needs root";
  ASSERT_EQ(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
  std::string busy = folder_ + "/busy";
  ASSERT_EQ(::mount(busy.c_str(), busy.c_str(), nullptr, MS_BIND, nullptr), 0);
  try {
    Scratch(folder_).empty(later());
    ADD_FAILURE();
  } catch (const sys::Error& error) {
    EXPECT_EQ(error.code(), EBUSY);
    EXPECT_NE(error.object().find("busy"), std::string::npos);
  }
  EXPECT_EQ(::umount2(busy.c_str(), MNT_DETACH), 0);
}

TEST_F(ScrubTest, IsNotMadeFromALinkOrAFile) {
  make("file");
  fs::create_directory_symlink(folder_, folder_ + "/link");
  EXPECT_THROW(Scratch(folder_ + "/file"), sys::Error);
  EXPECT_THROW(Scratch(folder_ + "/link"), sys::Error);
  EXPECT_THROW(Scratch(folder_ + "/missing"), sys::Error);
}

}  // namespace
}  // namespace hearth::sandbox::init
