// SPDX-License-Identifier: Apache-2.0
#include "daemon/registry/manifest.h"

#include <fmt/format.h>

#include <algorithm>

#include "daemon/settings/reader.h"
#include "sandbox/spec.h"

namespace hearth::registry {
namespace {

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

std::string check_name(std::string_view name) {
  return valid_name(name) ? "" : "it must be 1 to 63 of a-z, 0-9 and '-'";
}

std::string check_image(std::string_view image) {
  return valid_name(image) ? "" : "an image's name is 1 to 63 of a-z, 0-9 and '-'";
}

// What hearthd sets for a function is not the function's to set.
std::string check_env_name(std::string_view name) {
  if (name.empty() || !is_letter(name[0])) return "a variable's name starts with a letter or '_'";
  bool plain =
      std::all_of(name.begin(), name.end(), [](char c) { return is_letter(c) || is_digit(c); });
  if (!plain) return "a variable's name has letters, digits and '_' only";
  constexpr std::string_view kReserved[] = {"_HANDLER", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR"};
  bool reserved =
      name.starts_with("AWS_LAMBDA_") || name.starts_with("HEARTH_") ||
      std::find(std::begin(kReserved), std::end(kReserved), name) != std::end(kReserved);
  return reserved ? "this variable is set by Hearth" : "";
}

std::string check_network(std::string_view network) {
  if (network == "none") return "";
  return "\"none\" (its own loopback only) is what this version of Hearth offers";
}

// A path that stays below the folder it starts from, written in one way only.
std::string check_path(std::string_view path) {
  if (path.empty()) return "a path inside the bundle is needed";
  if (path.front() == '/') return "a path inside the bundle is needed, without '/' in front";
  for (unsigned char c : path) {
    if (c < 0x20 || c == 0x7f) return "control characters are not allowed";
  }
  for (size_t start = 0; start <= path.size();) {
    size_t end = std::min(path.find('/', start), path.size());
    std::string_view part = path.substr(start, end - start);
    if (part.empty() || part == "." || part == "..")
      return "no part of the path may be empty, '.' or '..'";
    start = end + 1;
  }
  return "";
}

// "app.handle", "package.module.handle", "folder/file.handle".
std::string check_dotted(std::string_view handler) {
  constexpr const char* kForm = "write module.function, such as \"app.handle\"";
  if (std::string reason = check_path(handler); !reason.empty()) return reason;
  size_t dot = handler.rfind('.');
  if (dot == std::string_view::npos) return kForm;
  std::string_view module = handler.substr(0, dot), function = handler.substr(dot + 1);
  bool good = !module.empty() && module.front() != '.' && module.back() != '.' &&
              module.back() != '/' && module.find("..") == std::string_view::npos &&
              module.find("/.") == std::string_view::npos &&
              module.find("./") == std::string_view::npos;
  good = good && std::all_of(module.begin(), module.end(), [](char c) {
           return is_letter(c) || is_digit(c) || c == '-' || c == '.' || c == '/';
         });
  good = good && !function.empty() && (is_letter(function[0]) || function[0] == '$');
  good = good && std::all_of(function.begin(), function.end(),
                             [](char c) { return is_letter(c) || is_digit(c) || c == '$'; });
  return good ? "" : kForm;
}

// What the table of keys fills; the sections become optional parts of the manifest afterwards.
struct Draft {
  Manifest manifest;
  HttpTrigger http;
  std::string network;
  bool has_http = false, has_exec = false;
};

// A host whose bound is below a default lowers the default too.
void lower_defaults(Manifest& m, const ManifestBounds& bounds) {
  m.memory_mb = std::min(m.memory_mb, bounds.memory_mb_max);
  m.timeout_ms = std::min(m.timeout_ms, bounds.timeout_ms_max);
  m.cpu_percent = std::min(m.cpu_percent, bounds.cpu_percent_max);
  m.processes_max = std::min(m.processes_max, bounds.processes_max);
  m.tmp_mb = std::min(m.tmp_mb, bounds.tmp_mb_max);
  m.io_mb_per_s = bounds.io_mb_per_s_max;
  m.io_reads_per_s = bounds.io_reads_per_s_max;
  m.output_kb = std::min(m.output_kb, bounds.output_kb_max);
  m.log_kb = std::min(m.log_kb, bounds.log_kb_max);
  m.concurrency_max = std::min(m.concurrency_max, bounds.concurrency_max);
}

// A call on all the cores it may use for all its time.
uint64_t cpu_ms_max(const ManifestBounds& bounds) {
  uint64_t all = uint64_t{bounds.timeout_ms_max} * bounds.cpu_percent_max / 100;
  return std::min<uint64_t>(all, UINT32_MAX);
}

// 0 is no limit, which only a host without a bound of its own offers.
settings::Number reads(uint32_t* target, uint64_t least, uint64_t bound) {
  return bound == 0 ? settings::Number{target, 0, kIoMax} : settings::Number{target, least, bound};
}

std::vector<settings::Key> keys_of(Draft& draft, const ManifestBounds& bounds) {
  using settings::Number;
  Manifest& m = draft.manifest;
  return {
      {"name", settings::Text{&m.name, 63, check_name}, true},
      {"runtime",
       settings::choice(&m.runtime, {{"python3", Runtime::kPython3},
                                     {"nodejs", Runtime::kNodejs},
                                     {"exec", Runtime::kExec},
                                     {"native", Runtime::kNative}}),
       true},
      {"handler", settings::Text{&m.handler, 255, {}}, true},
      {"image", settings::Text{&m.image, 63, check_image}},
      {"memory_mb", Number{&m.memory_mb, kMemoryMbMin, bounds.memory_mb_max}},
      {"timeout_ms", Number{&m.timeout_ms, 1, bounds.timeout_ms_max}},
      {"cpu_ms", Number{&m.cpu_ms, 0, cpu_ms_max(bounds)}},
      {"cpu_percent", Number{&m.cpu_percent, 1, bounds.cpu_percent_max}},
      {"processes_max", Number{&m.processes_max, 1, bounds.processes_max}},
      {"tmp_mb", Number{&m.tmp_mb, 1, bounds.tmp_mb_max}},  // a tmpfs of size 0 has no bound at all
      {"io_mb_per_s", reads(&m.io_mb_per_s, 1, bounds.io_mb_per_s_max)},
      {"io_reads_per_s",
       reads(&m.io_reads_per_s, sandbox::kIoReadsPerSecondMin, bounds.io_reads_per_s_max)},
      {"output_kb", Number{&m.output_kb, 1, bounds.output_kb_max}},
      {"log_kb", Number{&m.log_kb, 0, bounds.log_kb_max}},
      {"reuse", settings::choice(&m.reuse, {{"never", Reuse::kNever},
                                            {"sandbox", Reuse::kSandbox},
                                            {"process", Reuse::kProcess}})},
      {"concurrency_max", Number{&m.concurrency_max, 1, bounds.concurrency_max}},
      {"warm_min", Number{&m.warm_min, 0, bounds.warm_min_max}},
      {"network", settings::Text{&draft.network, 255, check_network}},
      {"env", settings::TextMap{&m.env, bounds.env_bytes_max, check_env_name}},
      {"http",
       settings::Section{{
                             {"public", settings::Flag{&draft.http.is_public}},
                             {"methods", settings::TextList{&draft.http.methods,
                                                            7,
                                                            {"GET", "HEAD", "POST", "PUT", "PATCH",
                                                             "DELETE", "OPTIONS"}}},
                         },
                         [&draft] { draft.has_http = true; }}},
      {"exec", settings::Section{{{"http_env", settings::Flag{&m.exec_http_env}}},
                                 [&draft] { draft.has_exec = true; }}},
  };
}

ManifestError refuse_at(const settings::Positions& positions, std::string_view key,
                        std::string message, std::string limit = {}, std::string value = {}) {
  auto at = positions.find(key);
  settings::Position position = at == positions.end() ? settings::Position{1, 1} : at->second;
  return {position.line, position.column, std::move(message), std::move(limit), std::move(value)};
}

// What no key can say alone.
std::optional<ManifestError> check_together(const Draft& draft,
                                            const settings::Positions& positions) {
  const Manifest& m = draft.manifest;
  bool is_file = m.runtime == Runtime::kExec || m.runtime == Runtime::kNative;
  std::string reason = is_file ? check_path(m.handler) : check_dotted(m.handler);
  if (!reason.empty()) {
    return refuse_at(positions, "handler",
                     fmt::format("'handler' is \"{}\": {}", settings::shown(m.handler), reason));
  }
  if (draft.has_exec && m.runtime != Runtime::kExec) {
    return refuse_at(
        positions, "exec",
        fmt::format("[exec] is for runtime \"exec\", this is \"{}\"", name_of(m.runtime)));
  }
  if (m.exec_http_env && !draft.has_http) {
    return refuse_at(positions, "exec.http_env", "'exec.http_env' needs an [http] section");
  }
  if (m.runtime == Runtime::kExec && m.reuse == Reuse::kProcess) {
    return refuse_at(positions, "reuse",
                     "'reuse' is \"process\": a program of runtime \"exec\" serves one call");
  }
  constexpr uint32_t kReadsMin = sandbox::kIoReadsPerSecondMin;
  if (m.io_reads_per_s != 0 && m.io_reads_per_s < kReadsMin) {
    return refuse_at(
        positions, "io_reads_per_s",
        fmt::format("'io_reads_per_s' is {}, at least {} is allowed", m.io_reads_per_s, kReadsMin),
        fmt::format("io_reads_per_s>={}", kReadsMin), std::to_string(m.io_reads_per_s));
  }
  if (m.warm_min > m.concurrency_max) {
    return refuse_at(positions, positions.contains("warm_min") ? "warm_min" : "concurrency_max",
                     fmt::format("'warm_min' is {}, at most concurrency_max = {} is allowed",
                                 m.warm_min, m.concurrency_max),
                     fmt::format("warm_min<={}", m.concurrency_max), std::to_string(m.warm_min));
  }
  return std::nullopt;
}

}  // namespace

const char* name_of(Runtime runtime) {
  switch (runtime) {
    case Runtime::kPython3:
      return "python3";
    case Runtime::kNodejs:
      return "nodejs";
    case Runtime::kExec:
      return "exec";
    case Runtime::kNative:
      return "native";
  }
  return "?";
}

const char* name_of(Reuse reuse) {
  switch (reuse) {
    case Reuse::kNever:
      return "never";
    case Reuse::kSandbox:
      return "sandbox";
    case Reuse::kProcess:
      return "process";
  }
  return "?";
}

bool valid_name(std::string_view name) {
  if (name.empty() || name.size() > 63) return false;
  return std::all_of(name.begin(), name.end(),
                     [](char c) { return (c >= 'a' && c <= 'z') || is_digit(c) || c == '-'; });
}

std::variant<Manifest, ManifestError> parse_manifest(std::string_view text,
                                                     const ManifestBounds& bounds) {
  Draft draft;
  lower_defaults(draft.manifest, bounds);
  auto read = settings::read(text, keys_of(draft, bounds));
  if (auto* error = std::get_if<settings::Error>(&read)) {
    return ManifestError{error->line, error->column, error->message, error->limit, error->value};
  }
  if (auto error = check_together(draft, std::get<settings::Positions>(read)))
    return std::move(*error);
  if (draft.has_http) draft.manifest.http = std::move(draft.http);
  return std::move(draft.manifest);
}

std::vector<settings::KeyInfo> manifest_keys() {
  Draft draft;
  return settings::describe(keys_of(draft, {}));
}

}  // namespace hearth::registry
