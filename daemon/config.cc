// SPDX-License-Identifier: Apache-2.0
#include "daemon/config.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <optional>

#include "daemon/settings/reader.h"
#include "sandbox/sys/fd.h"

namespace hearth::daemon {
namespace {

using settings::Key;
using settings::Number;
using settings::Section;

// Times are numbers with their unit in the key's name; they become durations when all is read.
struct Times {
  uint32_t idle_ms = 75'000, header_ms = 10'000, body_ms = 10'000, write_ms = 30'000,
           linger_ms = 2'000;
  uint32_t idle_min_s = 30, idle_max_s = 1200, generic_idle_s = 600, wait_max_ms = 30'000;
};

// Sizes in the file's units.
struct Sizes {
  uint32_t http_body_kb = 6144, http_buffered_mb = 256;
  uint32_t pool_memory_mb = 2048, generic_memory_mb = 64;
  uint32_t bundle_mb = 256;
};

struct Draft {
  Config config;
  Times times;
  Sizes sizes;
};

std::string check_path(std::string_view path) {
  return path.starts_with('/') ? "" : "an absolute path is needed";
}

// As useradd(8) takes them.
std::string check_user(std::string_view name) {
  auto good = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  };
  bool fine = !name.empty() && name.front() != '-' && std::all_of(name.begin(), name.end(), good);
  return fine ? "" : "this is no name of a user or group";
}

std::string check_group(std::string_view name) {
  return name.empty() ? "" : check_user(name);
}

std::string check_image(std::string_view name) {
  return name.empty() || registry::valid_name(name)
             ? ""
             : "an image's name is 1 to 63 of a-z, 0-9 and '-'";
}

// Whether the address is one of this host is seen when the socket is opened.
std::string check_listen(std::string_view text) {
  constexpr const char* kForm = "write ADDRESS:PORT, [ADDRESS]:PORT, or nothing";
  if (text.empty()) return "";
  size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return kForm;
  std::string_view host = text.substr(0, colon), port = text.substr(colon + 1);
  bool bracketed = host.front() == '[' && host.back() == ']';
  if (!bracketed && host.find(':') != std::string_view::npos) return kForm;
  uint32_t number = 0;
  auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (error != std::errc() || end != port.data() + port.size()) return kForm;
  return number <= 65'535 ? "" : "a port is at most 65535";
}

Section http_section(Draft& draft) {
  http::Limits& h = draft.config.http;
  return {{{"header_bytes_max", Number{&h.header_bytes_max, 1024, 1u << 20}},
           {"headers_max", Number{&h.headers_max, 1, 10'000}},
           {"uri_bytes_max", Number{&h.uri_bytes_max, 64, 1u << 20}},
           {"body_kb_max", Number{&draft.sizes.http_body_kb, 1, 1u << 20}},
           {"read_ahead_bytes_max", Number{&h.read_ahead_bytes_max, 1024, 16u << 20}},
           {"connections_max", Number{&h.connections_max, 1, 1'000'000}},
           {"buffered_mb_max", Number{&draft.sizes.http_buffered_mb, 1, 1u << 20}},
           {"idle_ms_max", Number{&draft.times.idle_ms, 100, 3'600'000}},
           {"header_ms_max", Number{&draft.times.header_ms, 100, 3'600'000}},
           {"body_period_ms", Number{&draft.times.body_ms, 100, 3'600'000}},
           {"body_bytes_per_period_min", Number{&h.body_bytes_per_period_min, 1, 1u << 30}},
           {"write_period_ms", Number{&draft.times.write_ms, 100, 3'600'000}},
           {"write_bytes_per_period_min", Number{&h.write_bytes_per_period_min, 1, 1u << 30}},
           {"linger_ms_max", Number{&draft.times.linger_ms, 1, 60'000}}},
          {}};
}

Section pool_section(Draft& draft) {
  pool::Limits& p = draft.config.pool;
  return {{{"memory_mb_max", Number{&draft.sizes.pool_memory_mb, 16, 1u << 24}},
           {"sandboxes_max", Number{&p.sandboxes_max, 1, 100'000}},
           {"waiting_per_function_max", Number{&p.waiting_per_function_max, 1, 1'000'000}},
           {"waiting_max", Number{&p.waiting_max, 1, 1'000'000}},
           {"wait_ms_max", Number{&draft.times.wait_max_ms, 1, 3'600'000}},
           {"starts_at_once_max", Number{&p.starts_at_once_max, 1, 1000}},
           {"generic_per_key", Number{&p.generic_per_key, 0, 100}},
           {"generic_max", Number{&p.generic_max, 0, 10'000}},
           {"generic_memory_mb", Number{&draft.sizes.generic_memory_mb, 32, 1024}},
           {"generic_idle_s_max", Number{&draft.times.generic_idle_s, 1, 86'400}},
           {"idle_s_min", Number{&draft.times.idle_min_s, 0, 86'400}},
           {"idle_s_max", Number{&draft.times.idle_max_s, 1, 864'000}}},
          {}};
}

Section sandbox_section(Draft& draft) {
  Config::Sandbox& s = draft.config.sandbox;
  registry::ManifestBounds& m = s.manifest;
  return {{{"subid_base", Number{&s.subid_base, 65'536, 0xff000000}},
           {"subid_blocks", Number{&s.subid_blocks, 1, 16'384}},
           {"memory_mb_max", Number{&m.memory_mb_max, 16, 1u << 20}},
           {"timeout_ms_max", Number{&m.timeout_ms_max, 1, 86'400'000}},
           {"cpu_percent_max", Number{&m.cpu_percent_max, 1, 100'000}},
           {"processes_max", Number{&m.processes_max, 1, 100'000}},
           {"tmp_mb_max", Number{&m.tmp_mb_max, 1, 1u << 20}},
           {"io_mb_per_s_max", Number{&m.io_mb_per_s_max, 0, registry::kIoMax}},
           {"io_reads_per_s_max", Number{&m.io_reads_per_s_max, 0, registry::kIoMax}},
           {"output_kb_max", Number{&m.output_kb_max, 1, 1u << 20}},
           {"log_kb_max", Number{&m.log_kb_max, 0, 1u << 20}},
           {"concurrency_max", Number{&m.concurrency_max, 1, 100'000}},
           {"warm_min_max", Number{&m.warm_min_max, 0, 100'000}},
           {"env_bytes_max", Number{&m.env_bytes_max, 0, 49'152}},
           {"open_files_max", Number{&s.open_files_max, 64, 524'288}},
           {"file_mb_max", Number{&s.file_mb_max, 1, 1u << 20}},
           {"zygote_calls_max", Number{&s.zygote_calls_max, 1, 100'000'000}},
           {"zygote_minutes_max", Number{&s.zygote_minutes_max, 1, 100'000}},
           {"zygote_growth_mb_max", Number{&s.zygote_growth_mb_max, 1, 1u << 20}}},
          {}};
}

Section deploy_section(Draft& draft) {
  Config::Deploy& d = draft.config.deploy;
  return {{{"upload_mb_max", Number{&d.upload_mb_max, 1, 1u << 16}},
           {"bundle_mb_max", Number{&draft.sizes.bundle_mb, 1, 1u << 16}},
           {"entries_max", Number{&d.bundle.entries_max, 1, 10'000'000}},
           {"ratio_max", Number{&d.bundle.ratio_max, 2, 100'000}},
           {"depth_max", Number{&d.bundle.depth_max, 1, 1000}},
           {"path_bytes_max", Number{&d.bundle.path_bytes_max, 64, 4000}},
           {"load_timeout_ms", Number{&d.load_timeout_ms, 100, 600'000}}},
          {}};
}

Section ledger_section(Draft& draft) {
  Config::Ledger& l = draft.config.ledger;
  using ledger::Durability;
  return {{{"durability", settings::choice(&l.durability, {{"process", Durability::kProcess},
                                                           {"host", Durability::kHost}})},
           {"slots", Number{&l.slots, 64, 1u << 20}},
           {"keep_days", Number{&l.keep_days, 0, 100'000}}},
          {}};
}

Section logs_section(Draft& draft) {
  Config::Logs& l = draft.config.logs;
  return {{{"file_mb_max", Number{&l.file_mb_max, 1, 65'536}},
           {"files_max", Number{&l.files_max, 1, 1000}},
           {"call_kb_max", Number{&l.call_kb_max, 1, 1u << 20}},
           {"call_kb_kill", Number{&l.call_kb_kill, 1, 1u << 22}}},
          {}};
}

std::vector<Key> keys_of(Draft& draft) {
  Config& c = draft.config;
  using sandbox::LimitsMode;
  using sys::log::Level;
  return {{"user", settings::Text{&c.user, 32, check_user}},
          {"admin_group", settings::Text{&c.admin_group, 32, check_group}},
          {"state_dir", settings::Text{&c.state_dir, 255, check_path}},
          {"runtime_dir", settings::Text{&c.runtime_dir, 90, check_path}},
          {"listen", settings::Text{&c.listen, 255, check_listen}},
          {"limits", settings::choice(&c.limits, {{"strict", LimitsMode::kStrict},
                                                  {"best-effort", LimitsMode::kBestEffort}})},
          {"log_level", settings::choice(&c.log_level, {{"error", Level::kError},
                                                        {"warning", Level::kWarning},
                                                        {"info", Level::kInfo},
                                                        {"debug", Level::kDebug}})},
          {"host_image", settings::Flag{&c.host_image}},
          {"default_image", settings::Text{&c.default_image, 63, check_image}},
          {"drain_ms_max", Number{&c.drain_ms_max, 0, 86'400'000}},
          {"http", http_section(draft)},
          {"pool", pool_section(draft)},
          {"sandbox", sandbox_section(draft)},
          {"deploy", deploy_section(draft)},
          {"ledger", ledger_section(draft)},
          {"logs", logs_section(draft)}};
}

void convert(Draft& draft) {
  using std::chrono::milliseconds;
  using std::chrono::seconds;
  Config& c = draft.config;
  c.http.body_bytes_max = c.http.response_bytes_max = uint64_t{draft.sizes.http_body_kb} << 10;
  c.http.buffered_bytes_max = uint64_t{draft.sizes.http_buffered_mb} << 20;
  c.http.idle_time_max = milliseconds(draft.times.idle_ms);
  c.http.header_time_max = milliseconds(draft.times.header_ms);
  c.http.body_period = milliseconds(draft.times.body_ms);
  c.http.write_period = milliseconds(draft.times.write_ms);
  c.http.linger_time_max = milliseconds(draft.times.linger_ms);
  c.pool.memory_bytes_max = uint64_t{draft.sizes.pool_memory_mb} << 20;
  c.pool.generic_memory_bytes = uint64_t{draft.sizes.generic_memory_mb} << 20;
  c.pool.generic_idle = seconds(draft.times.generic_idle_s);
  c.pool.idle_min = seconds(draft.times.idle_min_s);
  c.pool.idle_max = seconds(draft.times.idle_max_s);
  c.pool.wait_max = milliseconds(draft.times.wait_max_ms);
  c.deploy.bundle.bytes_max = uint64_t{draft.sizes.bundle_mb} << 20;
}

ConfigError at(const settings::Positions& positions, std::string_view key, std::string message) {
  auto found = positions.find(key);
  // The other one of two keys may be a default, which stands nowhere.
  settings::Position where = found == positions.end() ? settings::Position{1, 1} : found->second;
  return {where.line, where.column, std::move(message)};
}

// What no key can say alone.
std::optional<ConfigError> check_together(const Config& c, const settings::Positions& positions) {
  if (c.pool.idle_min > c.pool.idle_max) {
    return at(positions, "pool.idle_s_min", "'pool.idle_s_min' is above 'pool.idle_s_max'");
  }
  uint64_t ids_end =
      uint64_t{c.sandbox.subid_base} + uint64_t{c.sandbox.subid_blocks} * sandbox::kBlockSize;
  if (ids_end > UINT32_MAX) {
    return at(positions, "sandbox.subid_blocks",
              "'sandbox.subid_base' + 65536 * 'sandbox.subid_blocks' is above the highest id");
  }
  if (c.pool.sandboxes_max > c.sandbox.subid_blocks) {
    return at(positions, "pool.sandboxes_max",
              "'pool.sandboxes_max' is above 'sandbox.subid_blocks': each sandbox needs one");
  }
  if (c.pool.sandboxes_max > c.ledger.slots) {
    return at(positions, "ledger.slots",
              "'ledger.slots' is below 'pool.sandboxes_max': each call needs one");
  }
  if (uint64_t{c.sandbox.manifest.memory_mb_max} << 20 > c.pool.memory_bytes_max) {
    return at(
        positions, "sandbox.memory_mb_max",
        "'sandbox.memory_mb_max' is above 'pool.memory_mb_max': such a function could never start");
  }
  uint32_t reads = c.sandbox.manifest.io_reads_per_s_max;
  if (reads != 0 && reads < sandbox::kIoReadsPerSecondMin) {
    return at(positions, "sandbox.io_reads_per_s_max",
              "'sandbox.io_reads_per_s_max' is below 100, the least that a function may have");
  }
  if (c.http.body_bytes_max > c.http.buffered_bytes_max) {
    return at(positions, "http.buffered_mb_max",
              "'http.buffered_mb_max' is below 'http.body_kb_max'");
  }
  return std::nullopt;
}

ConfigError unreadable(const std::string& reason) {
  return {0, 0, "it cannot be read: " + reason};
}

}  // namespace

// An absent file is an empty one: the defaults in the file's units are the only ones.
Config default_config() {
  return std::get<Config>(parse_config(""));
}

std::variant<Config, ConfigError> parse_config(std::string_view text) {
  Draft draft;
  auto read = settings::read(text, keys_of(draft));
  if (auto* error = std::get_if<settings::Error>(&read)) {
    return ConfigError{error->line, error->column, error->message};
  }
  const auto& positions = std::get<settings::Positions>(read);
  // A small pool alone is no mistake: it lowers what a function may ask for.
  uint32_t& memory_mb_max = draft.config.sandbox.manifest.memory_mb_max;
  if (!positions.contains("sandbox.memory_mb_max")) {
    memory_mb_max = std::min(memory_mb_max, draft.sizes.pool_memory_mb);
  }
  convert(draft);
  if (auto error = check_together(draft.config, positions)) return std::move(*error);
  return std::move(draft.config);
}

std::variant<Config, ConfigError> load_config(const std::string& path) {
  sys::Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return unreadable(std::strerror(errno));
  // One byte more than a good file has: parse_config refuses what is too long.
  std::string text(settings::kTextBytesMax + 1, '\0');
  size_t bytes = 0;
  while (bytes < text.size()) {
    ssize_t got = ::read(file.get(), text.data() + bytes, text.size() - bytes);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return unreadable(std::strerror(errno));
    if (got == 0) break;
    bytes += static_cast<size_t>(got);
  }
  text.resize(bytes);
  return parse_config(text);
}

std::vector<settings::KeyInfo> config_keys() {
  Draft draft;
  return settings::describe(keys_of(draft));
}

sandbox::Limits limits_max_of(const Config& config) {
  const registry::ManifestBounds& m = config.sandbox.manifest;
  sandbox::Limits limits;
  limits.memory_bytes = std::max(uint64_t{m.memory_mb_max} << 20, config.pool.generic_memory_bytes);
  limits.processes_max = m.processes_max;
  limits.cpu_percent = m.cpu_percent_max;
  limits.tmp_bytes = uint64_t{m.tmp_mb_max} << 20;
  limits.open_files_max = config.sandbox.open_files_max;
  limits.file_bytes_max = uint64_t{config.sandbox.file_mb_max} << 20;
  limits.io_bytes_per_s = uint64_t{m.io_mb_per_s_max} << 20;
  limits.io_reads_per_s = m.io_reads_per_s_max;
  return limits;
}

}  // namespace hearth::daemon
