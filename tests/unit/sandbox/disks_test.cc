// SPDX-License-Identifier: Apache-2.0
// Mount tables and block devices as a plain folder shows them.
#include "sandbox/disks.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <vector>

namespace hearth::sandbox {
namespace {

namespace fs = std::filesystem;

class DisksTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char folder[] = "/tmp/hearth-disks-test.XXXXXX";
    ASSERT_NE(::mkdtemp(folder), nullptr);
    root = folder;
    disk("8:0", "sda");
    partition("8:2", "sda", "sda2");
    disk("254:16", "vdb");
    disk("253:0", "dm-0");
  }
  void TearDown() override { fs::remove_all(root); }

  void disk(const std::string& device, const std::string& name) {
    fs::create_directories(root + "/sys/block/" + name);
    std::ofstream(root + "/sys/block/" + name + "/dev") << device << "\n";
    link(device, name);
  }
  void partition(const std::string& device, const std::string& of, const std::string& name) {
    disk(device, of + "/" + name);
    std::ofstream(root + "/sys/block/" + of + "/" + name + "/partition") << "2\n";
  }
  void link(const std::string& device, const std::string& name) {
    fs::create_directories(root + "/sys/dev/block");
    fs::create_symlink("../../block/" + name, root + "/sys/dev/block/" + device);
  }
  void mounts(const std::string& lines) {
    fs::create_directories(root + "/proc/self");
    std::ofstream(root + "/proc/self/mountinfo") << lines;
  }
  Disks find(std::vector<std::string> folders) { return find_disks(folders, root); }

  std::string root;
};

constexpr const char* kRoot = "20 1 8:2 / / rw,relatime shared:1 - ext4 /dev/sda2 rw\n";

TEST_F(DisksTest, APartitionsDiskIsTheOneToLimit) {
  mounts(kRoot);
  Disks disks = find({"/var/lib/hearth/images", "/usr"});
  EXPECT_EQ(disks.devices, "8:0");
  EXPECT_EQ(disks.obstacle, "");
}

TEST_F(DisksTest, EachFolderHasTheMountThatIsNearestAndThoseInsideIt) {
  mounts(std::string(kRoot) +
         "21 20 253:0 / /var/lib rw - xfs /dev/mapper/data rw\n"
         "22 21 254:16 / /var/lib/hearth/images/a\\040b ro - squashfs /dev/vdb ro\n"
         "23 20 254:99 / /var/library rw - ext4 /dev/vdx rw\n");
  EXPECT_EQ(find({"/var/lib/hearth/bundles"}).devices, "253:0");
  EXPECT_EQ(find({"/var/lib/hearth/images"}).devices, "253:0,254:16");
  EXPECT_EQ(find({"/var/lib/hearth/images/a b"}).devices, "254:16");
  EXPECT_EQ(find({"/var/lib/hearth/bundles", "/usr"}).devices, "253:0,8:0");
}

TEST_F(DisksTest, OfTwoMountsAtOnePlaceTheLaterCounts) {
  mounts(std::string(kRoot) +
         "21 20 253:0 / /data rw - xfs /dev/mapper/data rw\n"
         "22 21 254:16 / /data rw - ext4 /dev/vdb rw\n");
  EXPECT_EQ(find({"/data/images"}).devices, "254:16");
}

TEST_F(DisksTest, WhatIsNoSingleDiskIsNamedAsTheObstacle) {
  for (const char* type : {"overlay", "btrfs", "nfs4"}) {
    mounts(std::string("20 1 0:31 / / rw - ") + type + " none rw\n");
    EXPECT_EQ(find({"/usr"}).obstacle, std::string("/usr is on ") + type);
  }
}

TEST_F(DisksTest, WhatLivesInMemoryNeedsNoDiskButIsNoneToLimitEither) {
  mounts(std::string(kRoot) + "21 20 0:40 / /run rw - tmpfs tmpfs rw\n");
  EXPECT_EQ(find({"/run/images", "/usr"}).devices, "8:0");
  EXPECT_EQ(find({"/run/images", "/usr"}).obstacle, "");
  EXPECT_EQ(find({"/run/images"}).obstacle, "images and code are on no disk");
}

}  // namespace
}  // namespace hearth::sandbox
