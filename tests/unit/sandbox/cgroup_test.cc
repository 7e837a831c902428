// SPDX-License-Identifier: Apache-2.0
#include "sandbox/cgroup.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <filesystem>

#include "sandbox/sys/error.h"

namespace hearth::sandbox::cgroup {
namespace {

TEST(Cgroup, FindsTheMountThatIsReallyVersion2) {
  struct statfs status {};
  ASSERT_EQ(::statfs(find_mount().c_str(), &status), 0);
  EXPECT_EQ(status.f_type, CGROUP2_SUPER_MAGIC);
}

TEST(Cgroup, FindsItsOwnProcessInItsOwnPath) {
  std::string own = own_path();
  ASSERT_EQ(own.front(), '/');
  std::string procs = read_file(AT_FDCWD, find_mount() + (own == "/" ? "" : own) + "/cgroup.procs");
  EXPECT_NE(("\n" + procs).find("\n" + std::to_string(::getpid()) + "\n"), std::string::npos);
}

TEST(Cgroup, ListsControllers) {
  EXPECT_FALSE(has_controller(find_mount(), "no-such-controller"));
  for (const std::string& name : controllers(find_mount())) {
    EXPECT_TRUE(has_controller(find_mount(), name));
  }
}

TEST(Cgroup, NamesTheFileThatIsMissing) {
  try {
    controllers("/nonexistent");
    FAIL();
  } catch (const sys::Error& error) {
    EXPECT_EQ(error.object(), "/nonexistent/cgroup.controllers");
    EXPECT_EQ(error.code(), ENOENT);
  }
}

// A start that is refused must not have moved anything.
TEST(Cgroup, RefusesStrictModeWithoutTheControllers) {
  std::string own = find_mount() + own_path(), before = own_path();
  bool all = true;
  for (std::string_view name : kNeeded) all = all && has_controller(own, name);
  if (all || ::geteuid() != 0) {
    GTEST_SKIP() << "this host has every controller: integration tests cover strict mode";
  }
  try {
    prepare_base(LimitsMode::kStrict, "cgroup-test");
    FAIL();
  } catch (const sys::Error& error) {
    EXPECT_EQ(error.code(), ENOTSUP);
    EXPECT_NE(std::string(error.what()).find("memory"), std::string::npos);
  }
  EXPECT_EQ(own_path(), before);
}

TEST(Cgroup, MakesABaseThatEverybodyMayRead) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  namespace fs = std::filesystem;
  ::umask(077);
  std::string base = prepare_base(LimitsMode::kBestEffort, "cgroup-test");
  ::umask(022);
  EXPECT_EQ(base, find_mount() + "/hearth-cgroup-test");
  EXPECT_EQ(fs::status(base).permissions(), fs::perms(0755));
  EXPECT_EQ(prepare_base(LimitsMode::kBestEffort, "cgroup-test"), base);  // again is no error
  EXPECT_EQ(::rmdir(base.c_str()), 0);
}

}  // namespace
}  // namespace hearth::sandbox::cgroup
