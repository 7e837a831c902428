// SPDX-License-Identifier: Apache-2.0
#include "daemon/config.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "daemon/settings/reader.h"

namespace hearth::daemon {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

Config accepted(const std::string& text) {
  auto result = parse_config(text);
  if (auto* error = std::get_if<ConfigError>(&result)) {
    ADD_FAILURE() << error->line << ":" << error->column << ": " << error->message;
    return {};
  }
  return std::get<Config>(std::move(result));
}

ConfigError refused(const std::string& text) {
  auto result = parse_config(text);
  if (auto* error = std::get_if<ConfigError>(&result)) return *error;
  ADD_FAILURE() << "accepted:\n" << text;
  return {};
}

// A key as a line of a file, below its section's line if it has one.
std::string line_of(const std::string& name, const std::string& value) {
  size_t dot = name.find('.');
  if (dot == std::string::npos) return name + " = " + value + "\n";
  return "[" + name.substr(0, dot) + "]\n" + name.substr(dot + 1) + " = " + value + "\n";
}

TEST(Config, TheDefaultsSuitASmallServer) {
  Config c = default_config();
  EXPECT_EQ(c.user, "hearth");
  EXPECT_EQ(c.state_dir, "/var/lib/hearth");
  EXPECT_EQ(c.runtime_dir, "/run/hearth");
  EXPECT_EQ(c.listen, "127.0.0.1:8080");
  EXPECT_EQ(c.limits, sandbox::LimitsMode::kStrict);
  EXPECT_FALSE(c.host_image);
  // 4 GB: half for sandboxes, and no function may ask for all of it.
  EXPECT_EQ(c.pool.memory_bytes_max, uint64_t{2048} << 20);
  EXPECT_LE(uint64_t{c.sandbox.manifest.memory_mb_max} << 20, c.pool.memory_bytes_max);
  EXPECT_EQ(c.http.body_bytes_max, uint64_t{6} << 20);
  EXPECT_EQ(c.http.response_bytes_max, uint64_t{6} << 20);
  EXPECT_EQ(c.pool.wait_max, seconds(30));
  EXPECT_EQ(c.drain_ms_max, 900'000u);
  EXPECT_GE(c.drain_ms_max, c.sandbox.manifest.timeout_ms_max);  // the longest call can finish
}

TEST(Config, ValuesArriveInTheUnitsOfTheirParts) {
  Config c = accepted(R"(
listen = "[::1]:80"
limits = "best-effort"
log_level = "debug"
[http]
body_kb_max = 3
buffered_mb_max = 5
idle_ms_max = 1000
linger_ms_max = 7
[pool]
memory_mb_max = 2000
wait_ms_max = 1500
idle_s_min = 2
idle_s_max = 3
generic_memory_mb = 33
[deploy]
bundle_mb_max = 9
depth_max = 11
[ledger]
durability = "host"
[sandbox]
log_kb_max = 12
)");
  EXPECT_EQ(c.listen, "[::1]:80");
  EXPECT_EQ(c.limits, sandbox::LimitsMode::kBestEffort);
  EXPECT_EQ(c.log_level, sys::log::Level::kDebug);
  EXPECT_EQ(c.http.body_bytes_max, 3072u);
  EXPECT_EQ(c.http.response_bytes_max, 3072u);
  EXPECT_EQ(c.http.buffered_bytes_max, uint64_t{5} << 20);
  EXPECT_EQ(c.http.idle_time_max, milliseconds(1000));
  EXPECT_EQ(c.http.linger_time_max, milliseconds(7));
  EXPECT_EQ(c.pool.memory_bytes_max, uint64_t{2000} << 20);
  EXPECT_EQ(c.pool.wait_max, milliseconds(1500));
  EXPECT_EQ(c.pool.idle_min, seconds(2));
  EXPECT_EQ(c.pool.idle_max, seconds(3));
  EXPECT_EQ(c.pool.generic_memory_bytes, uint64_t{33} << 20);
  EXPECT_EQ(c.deploy.bundle.bytes_max, uint64_t{9} << 20);
  EXPECT_EQ(c.deploy.bundle.depth_max, 11u);
  EXPECT_EQ(c.ledger.durability, ledger::Durability::kHost);
  EXPECT_EQ(c.sandbox.manifest.log_kb_max, 12u);
}

TEST(Config, EveryNumberHasTwoBoundsAndTheRefusalNamesThem) {
  int numbers = 0;
  for (const settings::KeyInfo& key : config_keys()) {
    size_t to = key.range.find(" to ");
    if (to == std::string::npos) continue;
    ++numbers;
    std::string min = key.range.substr(0, to), max = key.range.substr(to + 4);
    uint64_t above = std::stoull(max) + 1;
    for (const std::string& bad : {std::string("-1"), std::to_string(above)}) {
      ConfigError error = refused(line_of(key.name, bad));
      EXPECT_NE(error.message.find("'" + key.name + "' is " + bad), std::string::npos)
          << error.message;
      EXPECT_NE(error.message.find(bad == "-1" ? min : max), std::string::npos) << error.message;
      EXPECT_EQ(error.line, key.name.find('.') == std::string::npos ? 1u : 2u);
    }
    EXPECT_EQ(refused(line_of(key.name, "\"7\"")).message,
              "'" + key.name + "' must be an integer, but is a string");
    accepted(line_of(key.name, key.initial));
  }
  EXPECT_GE(numbers, 50);
}

struct Bad {
  const char* text;
  uint32_t line;
  const char* says;
};

class BadConfig : public testing::TestWithParam<Bad> {};

TEST_P(BadConfig, IsRefusedAtItsLineWithItsReason) {
  ConfigError error = refused(GetParam().text);
  EXPECT_EQ(error.line, GetParam().line) << error.message;
  EXPECT_NE(error.message.find(GetParam().says), std::string::npos) << error.message;
}

INSTANTIATE_TEST_SUITE_P(
    Each, BadConfig,
    testing::Values(
        Bad{"usr = \"x\"\n", 1, "did you mean 'user'?"},
        Bad{"[pool]\nmemory_mb = 1\n", 2, "did you mean 'pool.memory_mb_max'?"},
        Bad{"[htpp]\n", 1, "did you mean 'http'?"},
        Bad{"keep_days = 1\n", 1, "it belongs in [ledger]"},
        Bad{"[logs]\nlisten = \"\"\n", 2, "it belongs above the first [section]"},
        Bad{"limits = \"lax\"\n", 1, "must be \"strict\" or \"best-effort\""},
        Bad{"limits = \"best_effort\"\n", 1, "did you mean \"best-effort\"?"},
        Bad{"log_level = \"warn\"\n", 1, "'log_level' must be"},
        Bad{"state_dir = \"state\"\n", 1, "absolute"}, Bad{"runtime_dir = \"\"\n", 1, "absolute"},
        Bad{"user = \"\"\n", 1, "no name of a user"},
        Bad{"user = \"-x\"\n", 1, "no name of a user"},
        Bad{"user = \"a:b\"\n", 1, "no name of a user"},
        Bad{"admin_group = \"a b\"\n", 1, "no name of a user"},
        Bad{"default_image = \"../x\"\n", 1, "an image's name"},
        Bad{"host_image = 1\n", 1, "must be true or false"},
        Bad{"listen = \"8080\"\n", 1, "ADDRESS:PORT"},
        Bad{"listen = \":8080\"\n", 1, "ADDRESS:PORT"},
        Bad{"listen = \"127.0.0.1:\"\n", 1, "ADDRESS:PORT"},
        Bad{"listen = \"127.0.0.1:http\"\n", 1, "ADDRESS:PORT"},
        Bad{"listen = \"::1:80\"\n", 1, "ADDRESS:PORT"},
        Bad{"listen = \"127.0.0.1:65536\"\n", 1, "at most 65535"},
        Bad{"listen = \"a:-1\"\n", 1, "ADDRESS:PORT"},
        Bad{"listen = \"a:99999999999\"\n", 1, "ADDRESS:PORT"},
        Bad{"[pool]\nidle_s_min = 10\nidle_s_max = 9\n", 2, "above 'pool.idle_s_max'"},
        Bad{"[sandbox]\nsubid_base = 4278190080\nsubid_blocks = 1000\n", 3, "above the highest id"},
        Bad{"[pool]\nsandboxes_max = 5000\n", 2, "above 'sandbox.subid_blocks'"},
        Bad{"[ledger]\nslots = 64\n", 2, "below 'pool.sandboxes_max'"},
        Bad{"[pool]\nmemory_mb_max = 512\n[sandbox]\nmemory_mb_max = 513\n", 4,
            "could never start"},
        Bad{"[http]\nbody_kb_max = 2048\nbuffered_mb_max = 1\n", 3, "below 'http.body_kb_max'"}));

TEST(Config, AGoodListenAddressIsTaken) {
  for (const char* good : {"", "127.0.0.1:0", "0.0.0.0:65535", "[::]:80", "localhost:8080"}) {
    EXPECT_EQ(accepted(std::string("listen = \"") + good + "\"\n").listen, good);
  }
}

TEST(Config, ASmallPoolLowersWhatAFunctionMayAskFor) {
  EXPECT_EQ(accepted("[pool]\nmemory_mb_max = 300\n").sandbox.manifest.memory_mb_max, 300u);
}

TEST(Config, TheSpawnersPolicyCoversWhatAFunctionMayAskForAndAGenericSandbox) {
  sandbox::Limits limits =
      limits_max_of(accepted("[sandbox]\nmemory_mb_max = 20\ntmp_mb_max = 30\nprocesses_max = "
                             "40\n[pool]\ngeneric_memory_mb = 50\n"));
  EXPECT_EQ(limits.memory_bytes, uint64_t{50} << 20);
  EXPECT_EQ(limits.tmp_bytes, uint64_t{30} << 20);
  EXPECT_EQ(limits.processes_max, 40u);
  EXPECT_EQ(limits.io_bytes_per_s, 0u);  // none
  limits = limits_max_of(accepted("[sandbox]\nio_mb_per_s_max = 50\nio_reads_per_s_max = 500\n"));
  EXPECT_EQ(limits.io_bytes_per_s, uint64_t{50} << 20);
  EXPECT_EQ(limits.io_reads_per_s, 500u);
}

TEST(Config, AFileIsReadAndWhatCannotBeReadSaysWhy) {
  std::string name = testing::TempDir() + "hearth-config-XXXXXX";
  ASSERT_NE(::mkdtemp(name.data()), nullptr);
  std::string path = name + "/hearth.toml";
  auto message = [](const std::string& file) {
    auto result = load_config(file);
    auto* error = std::get_if<ConfigError>(&result);
    return error ? error->message : "accepted";
  };
  EXPECT_EQ(message(path), "it cannot be read: No such file or directory");
  EXPECT_EQ(message(name), "it cannot be read: Is a directory");
  std::ofstream(path).flush();
  EXPECT_EQ(message(path), "accepted");  // empty
  std::ofstream(path) << "drain_ms_max = 5\n";
  auto loaded = load_config(path);
  ASSERT_TRUE(std::holds_alternative<Config>(loaded));
  EXPECT_EQ(std::get<Config>(loaded).drain_ms_max, 5u);
  std::ofstream(path) << std::string(65'537, '#');
  EXPECT_NE(message(path).find("at most 65536"), std::string::npos);
  EXPECT_NE(message("/dev/zero").find("at most 65536"), std::string::npos);
  std::filesystem::remove_all(name);
}

}  // namespace
}  // namespace hearth::daemon
