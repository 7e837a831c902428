// SPDX-License-Identifier: Apache-2.0
#include "sandbox/policy.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace hearth::sandbox {
namespace {

SpawnerPolicy policy() {
  SpawnerPolicy policy;
  policy.state_dir = "/var/lib/hearth";
  policy.init_path = "/usr/libexec/hearth/hearth-init";
  policy.runtimes_dir = "/usr/libexec/hearth/runtimes";
  policy.cgroup_base = "/sys/fs/cgroup/hearth";
  policy.mode = LimitsMode::kBestEffort;
  policy.host_image = true;
  policy.subid_base = 0x60000000;
  policy.subid_blocks = 17;
  policy.limits_max = {1u << 30, 100, 800, 1u << 20, 4096, 1ull << 40, 9u << 20, 900};
  policy.io_devices = "8:0,254:16";
  return policy;
}

// The message for arguments in which the value of `name` is another.
std::string refusal(const std::string& name, const std::string& value) {
  std::vector<std::string> arguments = to_arguments(policy());
  auto at = std::find(arguments.begin(), arguments.end(), name);
  if (at != arguments.end() && at + 1 != arguments.end()) {
    at[1] = value;
  } else {
    arguments.insert(arguments.end(), {name, value});
  }
  auto parsed = parse_arguments(arguments);
  auto* bad = std::get_if<BadPolicy>(&parsed);
  return bad ? bad->message : "";
}

TEST(Policy, SurvivesBeingPassedAsArguments) {
  auto parsed = parse_arguments(to_arguments(policy()));
  ASSERT_TRUE(std::holds_alternative<SpawnerPolicy>(parsed));
  const SpawnerPolicy& got = std::get<SpawnerPolicy>(parsed);
  EXPECT_EQ(got.state_dir, policy().state_dir);
  EXPECT_EQ(got.init_path, policy().init_path);
  EXPECT_EQ(got.runtimes_dir, policy().runtimes_dir);
  EXPECT_EQ(got.cgroup_base, policy().cgroup_base);
  EXPECT_EQ(got.mode, LimitsMode::kBestEffort);
  EXPECT_TRUE(got.host_image);
  EXPECT_EQ(got.subid_base, 0x60000000u);
  EXPECT_EQ(got.subid_blocks, 17u);
  EXPECT_EQ(got.limits_max.memory_bytes, 1u << 30);
  EXPECT_EQ(got.limits_max.processes_max, 100u);
  EXPECT_EQ(got.limits_max.cpu_percent, 800u);
  EXPECT_EQ(got.limits_max.tmp_bytes, 1u << 20);
  EXPECT_EQ(got.limits_max.open_files_max, 4096u);
  EXPECT_EQ(got.limits_max.file_bytes_max, 1ull << 40);
  EXPECT_EQ(got.limits_max.io_bytes_per_s, 9u << 20);
  EXPECT_EQ(got.limits_max.io_reads_per_s, 900u);
  EXPECT_EQ(got.io_devices, "8:0,254:16");
}

TEST(Policy, AllowsNoHostImageUnlessTold) {
  SpawnerPolicy plain = policy();
  plain.host_image = false;
  plain.mode = LimitsMode::kStrict;
  auto parsed = parse_arguments(to_arguments(plain));
  EXPECT_FALSE(std::get<SpawnerPolicy>(parsed).host_image);
  EXPECT_EQ(std::get<SpawnerPolicy>(parsed).mode, LimitsMode::kStrict);
}

TEST(Policy, RefusesWhatItDoesNotUnderstand) {
  EXPECT_EQ(refusal("--sub", "1"), "--sub: unknown option");
  EXPECT_EQ(refusal("--subid-blocks", ""), "--subid-blocks: not a number");
  EXPECT_EQ(refusal("--subid-blocks", "12x"), "--subid-blocks: not a number");
  EXPECT_EQ(refusal("--subid-blocks", "-1"), "--subid-blocks: not a number");
  EXPECT_EQ(refusal("--subid-base", "4294967296"), "--subid-base: too large");
  EXPECT_EQ(refusal("--limits", "lax"), "--limits: neither strict nor best-effort");
  for (const char* devices : {"8", "8:", ":0", "8:0,", ",8:0", "8:0 ", "8:a", "8:0,9", "8:0:1"}) {
    EXPECT_EQ(refusal("--io-devices", devices), "--io-devices: not a list of MAJOR:MINOR");
  }
  EXPECT_EQ(refusal("--io-devices", "8:0"), "");
  EXPECT_EQ(refusal("--init", "hearth-init"), "--init: not absolute");
  EXPECT_EQ(refusal("--cgroup-base", ""), "--cgroup-base: not absolute");
  std::vector<std::string> cut = to_arguments(policy());
  cut.pop_back();
  cut.pop_back();
  EXPECT_TRUE(std::holds_alternative<BadPolicy>(parse_arguments(cut)));
}

TEST(Policy, KeepsTheIdsOfTheHostOutOfTheBlocks) {
  EXPECT_NE(refusal("--subid-base", "0"), "");
  EXPECT_NE(refusal("--subid-base", "65535"), "");
  EXPECT_EQ(refusal("--subid-base", "65536"), "");
  EXPECT_EQ(refusal("--subid-base", "4293853183"), "");  // 17 blocks end at 4294967295, exclusive
  EXPECT_NE(refusal("--subid-base", "4293853184"), "");
  EXPECT_NE(refusal("--subid-blocks", "0"), "");
  EXPECT_NE(refusal("--subid-blocks", "16385"), "");
}

TEST(Policy, RefusesMaximaThatNoSandboxCanLiveWith) {
  EXPECT_EQ(refusal("--tmp-bytes-max", "0"), "tmp_bytes: 0 is less than 4096");
  EXPECT_NE(refusal("--processes-max", "0"), "");
  EXPECT_NE(refusal("--memory-bytes-max", "1000"), "");
}

TEST(Policy, NamesTheLimitThatIsOutOfBounds) {
  Limits max = policy().limits_max, limits = max;
  EXPECT_EQ(check_limits(limits, max).name, nullptr);
  struct Case {
    const char* name;
    void (*above)(Limits&);
    void (*below)(Limits&);
  };
  const Case cases[] = {
      {"memory_bytes", [](Limits& l) { ++l.memory_bytes; }, [](Limits& l) { l.memory_bytes = 0; }},
      {"processes_max", [](Limits& l) { ++l.processes_max; },
       [](Limits& l) { l.processes_max = 0; }},
      {"cpu_percent", [](Limits& l) { ++l.cpu_percent; }, [](Limits& l) { l.cpu_percent = 0; }},
      {"tmp_bytes", [](Limits& l) { ++l.tmp_bytes; }, [](Limits& l) { l.tmp_bytes = 0; }},
      {"open_files_max", [](Limits& l) { ++l.open_files_max; },
       [](Limits& l) { l.open_files_max = 0; }},
      {"file_bytes_max", [](Limits& l) { ++l.file_bytes_max; },
       [](Limits& l) { l.file_bytes_max = 0; }},
      {"io_bytes_per_s", [](Limits& l) { l.io_bytes_per_s = 0; },
       [](Limits& l) { l.io_bytes_per_s = 1; }},
      {"io_bytes_per_s", [](Limits& l) { ++l.io_bytes_per_s; },
       [](Limits& l) { l.io_bytes_per_s = kIoBytesPerSecondMin - 1; }},
      {"io_reads_per_s", [](Limits& l) { l.io_reads_per_s = 0; },
       [](Limits& l) { l.io_reads_per_s = 1; }},
  };
  for (const Case& one : cases) {
    limits = max;
    one.above(limits);
    EXPECT_STREQ(check_limits(limits, max).name, one.name);
    limits = max;
    one.below(limits);
    EXPECT_STREQ(check_limits(limits, max).name, one.name);
  }
}

}  // namespace
}  // namespace hearth::sandbox
