// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "daemon/registry/bundle.h"
#include "sandbox/sys/error.h"

namespace hearth::registry {

// A folder with one archive in it, unpacked to `target` beside it.
class BundleFixture : public testing::Test {
 protected:
  void SetUp() override {
    // In memory where that can be: thousands of bundles are synced here.
    std::string base = std::filesystem::is_directory("/dev/shm") ? "/dev/shm/" : testing::TempDir();
    std::string name = base + "hearth-bundle-XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    dir_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  const std::string& dir() const { return dir_; }
  std::string archive() const { return dir_ + "/archive"; }
  std::string target() const { return dir_ + "/target"; }

  static void write_file(const std::string& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
  }
  void write_archive(const std::string& bytes) const { write_file(archive(), bytes); }

  Bundle accepted(const std::string& bytes, const BundleBounds& bounds = {}) const {
    write_archive(bytes);
    auto result = unpack(archive(), target(), bounds);
    if (auto* error = std::get_if<BundleError>(&result)) {
      ADD_FAILURE() << error->message;
      return {};
    }
    return std::get<Bundle>(result);
  }

  // Every refusal must leave nothing behind.
  BundleError refused(const std::string& bytes, const BundleBounds& bounds = {}) const {
    write_archive(bytes);
    auto result = unpack(archive(), target(), bounds);
    auto* error = std::get_if<BundleError>(&result);
    EXPECT_TRUE(error) << "accepted";
    EXPECT_EQ(std::filesystem::exists(target()), !error);
    std::filesystem::remove_all(target());
    return error ? *error : BundleError{};
  }

  std::string content(const std::string& path) const {
    std::ifstream file(target() + "/" + path, std::ios::binary);
    EXPECT_TRUE(file.good()) << path;
    std::ostringstream bytes;
    bytes << file.rdbuf();
    return bytes.str();
  }

  unsigned mode(const std::string& path) const {
    struct stat status = {};
    EXPECT_EQ(::lstat((target() + "/" + path).c_str(), &status), 0) << path;
    return status.st_mode;
  }

  std::set<std::string> names_in_dir() const {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(dir_))
      names.insert(entry.path().filename());
    return names;
  }

 private:
  std::string dir_;
};

}  // namespace hearth::registry
