// SPDX-License-Identifier: Apache-2.0
// Strict limits on a plain folder in the place of cgroupfs, so that they are tested on hosts
// without the controllers too; a real tree is in tests/integration and tests/vm.
#include "sandbox/spawner/groups.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "sandbox/sys/error.h"

namespace hearth::sandbox::spawner {
namespace {

namespace fs = std::filesystem;

class GroupsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char folder[] = "/tmp/hearth-groups-test.XXXXXX";
    ASSERT_NE(::mkdtemp(folder), nullptr);
    base = folder;
    for (const char* group : {"", "tenants", "tenants/t", "tenants/t/functions",
                              "tenants/t/functions/f", "tenants/t/generic"}) {
      make_group(group, "cpuset cpu io memory pids");
    }
  }
  void TearDown() override { fs::remove_all(base); }

  void make_group(const std::string& path, const std::string& controllers) {
    fs::create_directories(base + "/" + path);
    std::ofstream(base + "/" + path + "/cgroup.controllers") << controllers << "\n";
    std::ofstream(base + "/" + path + "/cgroup.subtree_control");
  }
  std::string read(const std::string& path) {
    std::ifstream file(base + "/" + path);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  std::string make_leaf() {
    fs::create_directories(base + "/tenants/t/functions/f/s-1");
    for (const char* file : kFiles) std::ofstream(base + "/tenants/t/functions/f/s-1/" + file);
    return "tenants/t/functions/f/s-1";
  }

  static constexpr const char* kFiles[] = {"memory.max", "memory.swap.max", "memory.oom.group",
                                           "pids.max",   "cpu.max",         "io.max"};
  std::string base;
};

TEST_F(GroupsTest, WritesEveryLimit) {
  Groups groups(base, LimitsMode::kStrict);
  std::string leaf = make_leaf();
  Limits limits;
  limits.memory_bytes = 100 << 20;
  limits.processes_max = 64;
  limits.cpu_percent = 150;
  groups.set_limits(leaf, limits);
  EXPECT_EQ(read(leaf + "/memory.max"), "104857600");
  EXPECT_EQ(read(leaf + "/memory.swap.max"), "0");
  EXPECT_EQ(read(leaf + "/memory.oom.group"), "1");
  EXPECT_EQ(read(leaf + "/pids.max"), "65");  // hearth-init is not user code
  EXPECT_EQ(read(leaf + "/cpu.max"), "30000 20000");
  EXPECT_EQ(read(leaf + "/io.max"), "");  // none is wanted
}

TEST_F(GroupsTest, LimitsReadsOfEachDisk) {
  std::string leaf = make_leaf();
  Limits limits;
  limits.io_bytes_per_s = 4 << 20;
  Groups(base, LimitsMode::kStrict, "8:0").set_limits(leaf, limits);
  EXPECT_EQ(read(leaf + "/io.max"), "8:0 rbps=4194304 riops=max");
  limits.io_bytes_per_s = 0;
  limits.io_reads_per_s = 100;
  make_leaf();  // a plain file keeps what a shorter write leaves
  Groups(base, LimitsMode::kStrict, "8:0,254:16").set_limits(leaf, limits);
  EXPECT_EQ(read(leaf + "/io.max"), "254:16 rbps=max riops=100");  // the last one's
}

TEST_F(GroupsTest, RefusesToLimitReadsWhereNoDiskIsKnownInStrictMode) {
  std::string leaf = make_leaf();
  Limits limits;
  limits.io_reads_per_s = 100;
  try {
    Groups(base, LimitsMode::kStrict).set_limits(leaf, limits);
    FAIL();
  } catch (const sys::Error& error) {
    EXPECT_EQ(error.object(), leaf + "/io.max");
    EXPECT_EQ(error.code(), ENOTSUP);
  }
  EXPECT_NO_THROW(Groups(base, LimitsMode::kBestEffort).set_limits(leaf, limits));
}

// What is killed does not wait for its reads.
TEST_F(GroupsTest, LiftsTheLimitsOnReadingWithAKill) {
  Groups groups(base, LimitsMode::kStrict, "8:0");
  std::string leaf = make_leaf();
  std::ofstream(base + "/" + leaf + "/cgroup.kill");
  Limits limits;
  limits.io_bytes_per_s = 4 << 20;
  groups.set_limits(leaf, limits);
  std::ofstream(base + "/" + leaf + "/io.max");  // emptied, as a plain file is not by a write
  groups.kill(leaf);
  EXPECT_EQ(read(leaf + "/cgroup.kill"), "1");
  EXPECT_EQ(read(leaf + "/io.max"), "8:0 rbps=max riops=max");
}

// The kernel takes no quota below a millisecond.
TEST_F(GroupsTest, WidensThePeriodForSmallShares) {
  Groups groups(base, LimitsMode::kStrict);
  std::string leaf = make_leaf();
  Limits limits;
  limits.cpu_percent = 1;
  groups.set_limits(leaf, limits);
  EXPECT_EQ(read(leaf + "/cpu.max"), "1000 100000");
  limits.cpu_percent = 5;
  groups.set_limits(leaf, limits);
  EXPECT_EQ(read(leaf + "/cpu.max").substr(0, 10), "1000 20000");
}

TEST_F(GroupsTest, RefusesALimitThatHasNoFileInStrictMode) {
  Limits every;
  every.io_bytes_per_s = 4 << 20;
  for (const char* file : kFiles) {
    std::string leaf = make_leaf();
    fs::remove(base + "/" + leaf + "/" + file);
    try {
      Groups(base, LimitsMode::kStrict, "8:0").set_limits(leaf, every);
      FAIL() << file;
    } catch (const sys::Error& error) {
      EXPECT_EQ(error.object(), leaf + "/" + file);
      EXPECT_EQ(error.code(), ENOENT);
    }
    EXPECT_NO_THROW(Groups(base, LimitsMode::kBestEffort, "8:0").set_limits(leaf, every));
  }
}

TEST_F(GroupsTest, LeavesNoLeafWhoseLimitsCannotBeSet) {
  Groups groups(base, LimitsMode::kStrict);
  try {
    groups.create("t", "f", 7, Limits{});  // a new folder has no memory.max here
    FAIL();
  } catch (const sys::Error& error) {
    EXPECT_EQ(error.object(), "tenants/t/functions/f/s-7/memory.max");
  }
  EXPECT_FALSE(fs::exists(base + "/tenants/t/functions/f/s-7"));
}

TEST_F(GroupsTest, EnablesTheControllersAlongThePath) {
  Groups groups(base, LimitsMode::kStrict);
  EXPECT_THROW(groups.create("t", "f", 7, Limits{}), sys::Error);
  EXPECT_THROW(groups.create("t", "", 8, Limits{}), sys::Error);
  for (const char* group : {"", "tenants", "tenants/t", "tenants/t/functions",
                            "tenants/t/functions/f", "tenants/t/generic"}) {
    EXPECT_EQ(read(std::string(group) + "/cgroup.subtree_control"), "+cpu +memory +pids +io")
        << group;
  }
}

TEST_F(GroupsTest, NamesTheControllersThatAreMissing) {
  make_group("", "cpuset cpu io");
  try {
    Groups groups(base, LimitsMode::kStrict);
    FAIL();
  } catch (const sys::Error& error) {
    EXPECT_NE(std::string(error.what()).find("memory, pids"), std::string::npos) << error.what();
    EXPECT_EQ(error.code(), ENOTSUP);
  }
  EXPECT_NO_THROW(Groups(base, LimitsMode::kBestEffort));
}

TEST_F(GroupsTest, MakesWhatTheHostHasInBestEffortMode) {
  Groups groups(base, LimitsMode::kBestEffort);
  Groups::Leaf leaf = groups.create("t", "f", 7, Limits{});
  EXPECT_EQ(leaf.path, "tenants/t/functions/f/s-7");
  EXPECT_TRUE(groups.remove(leaf.path));
  EXPECT_TRUE(groups.remove(leaf.path));  // already gone is as good
  // A leaf that is there belongs to an earlier run.
  fs::create_directories(base + "/tenants/t/generic/s-8");
  EXPECT_THROW(groups.create("t", "", 8, Limits{}), sys::Error);
}

}  // namespace
}  // namespace hearth::sandbox::spawner
