// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "daemon/http/limits.h"
#include "daemon/ledger/ledger.h"
#include "daemon/registry/bundle.h"
#include "daemon/registry/manifest.h"
#include "pool/pool.h"
#include "sandbox/spec.h"
#include "sandbox/sys/log.h"

namespace hearth::daemon {

// /etc/hearth/hearth.toml: every limit of the system in one place. hearth.toml(5) documents each
// key. The defaults suit a server with 2 cores and 4 GB.
struct Config {
  std::string user = "hearth";
  std::string admin_group;  // empty: the user's own group
  std::string state_dir = "/var/lib/hearth";
  std::string runtime_dir = "/run/hearth";
  std::string listen = "127.0.0.1:8080";  // empty: no HTTP triggers
  sandbox::LimitsMode limits = sandbox::LimitsMode::kStrict;
  sys::log::Level log_level = sys::log::Level::kInfo;
  bool host_image = false;    // may functions use this host's /usr as image "host"?
  std::string default_image;  // of functions that name none; empty: by runtime

  http::Limits http;
  pool::Limits pool;

  struct Sandbox {
    uint32_t subid_base = 0x70000000, subid_blocks = 4096;
    uint32_t open_files_max = 1024, file_mb_max = 1024;
    uint32_t zygote_calls_max = 10'000, zygote_minutes_max = 60, zygote_growth_mb_max = 32;
    registry::ManifestBounds manifest;  // what a function may ask for
  } sandbox;

  struct Deploy {
    uint32_t upload_mb_max = 128, load_timeout_ms = 10'000;
    registry::BundleBounds bundle;
  } deploy;

  struct Ledger {
    ledger::Durability durability = ledger::Durability::kProcess;
    uint32_t slots = 32768, keep_days = 0;
  } ledger;

  struct Logs {
    uint32_t file_mb_max = 8, files_max = 4;
    uint32_t call_kb_max = 1024;     // kept per call at most, whatever its log_kb
    uint32_t call_kb_kill = 65'536;  // a call that writes more is ended
  } logs;

  uint32_t drain_ms_max = 900'000;
};

Config default_config();

struct ConfigError {
  uint32_t line = 0, column = 0;
  std::string message;
};

std::variant<Config, ConfigError> parse_config(std::string_view text);
// An unreadable file is an error at line 0.
std::variant<Config, ConfigError> load_config(const std::string& path);
std::vector<settings::KeyInfo> config_keys();  // in order; for the manual's test

// What no sandbox may exceed: the spawner's policy.
sandbox::Limits limits_max_of(const Config& config);

}  // namespace hearth::daemon
