// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>

#include "daemon/registry/registry.h"
#include "sandbox/sys/error.h"

namespace hearth::registry {

// A state folder with a registry's database.
class RegistryFixture : public testing::Test {
 protected:
  void SetUp() override {
    std::string base = std::filesystem::is_directory("/dev/shm") ? "/dev/shm/" : testing::TempDir();
    std::string name = base + "hearth-registry-XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    dir_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  const std::string& dir() const { return dir_; }
  std::string db() const { return dir_ + "/hearth.db"; }

  static std::string hash(int of) { return fmt::format("{:064x}", of); }
  static Manifest manifest(const std::string& name) {
    Manifest m;
    m.name = name;
    m.handler = "app.handle";
    return m;
  }
  static VersionPtr deploy(Registry& registry, const std::string& function, int content) {
    VersionPtr version = registry.add("default", hash(content), 10, manifest(function));
    registry.go_live(version);
    return version;
  }
  static std::set<std::string> names_in(const std::string& dir) {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(dir))
      names.insert(entry.path().filename());
    return names;
  }

 private:
  std::string dir_;
};

}  // namespace hearth::registry
