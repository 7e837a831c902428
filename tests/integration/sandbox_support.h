// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "sandbox/spawner_client.h"

// A spawner with a state folder and a cgroup base of its own, for tests that run as root.
namespace hearth::sandbox::test {

inline constexpr char kBundle[] =
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

struct Output {
  int status = -1;
  std::string text;
};

class SandboxTest : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  void start();  // the spawner, with `policy`
  void stop();

  Spec spec(const std::string& function = "f");  // the next id; generic when `function` is empty
  Answer wait_answer(std::chrono::milliseconds limit = std::chrono::seconds(10));
  Created create(const Spec& spec);           // until hearth-init (or the probe) is ready
  Failure refused(const Spec& spec);          // the refusal of a create
  Failure failed(const Spec& spec);           // what a sandbox reports, or the spawner refuses
  Failure report_of(const Created& created);  // its first event: Ready gives an empty step
  void remove(uint64_t id);
  void kill_and_remove(const Created& created);
  Failure expect_refusal(uint64_t id);
  void expect_done(uint64_t id);

  Output run(const Created& created, const std::string& command, char as = 'u');
  std::string group(const Spec& spec) const;  // the path of its cgroup
  // An image with busybox for a shell, as hearthd could put it there: its rootfs.
  std::filesystem::path make_image(const std::string& name, const std::string& rootfs = "rootfs");

  std::string state, base, spawner, init;
  SpawnerPolicy policy;
  std::unique_ptr<SpawnerClient> client;
  uint64_t next_id = 1;
};

bool dead_within(int pidfd, std::chrono::milliseconds limit);
bool exists(const std::string& path);
std::string read_text(const std::string& path);
size_t open_descriptors(int32_t pid);
size_t lines(const std::string& path);
size_t children_of(int32_t pid);

}  // namespace hearth::sandbox::test
