// SPDX-License-Identifier: Apache-2.0
#include "cli/failure.h"

#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>

#include "cli/json.h"
#include "cli/text.h"

namespace hearth::cli {
namespace {

struct Kind {
  std::string_view name;
  Status status;
  std::string_view hint;
};

constexpr std::array kKinds{
    Kind{"function_error", Status::kFunctionFailed, ""},
    Kind{"load_error", Status::kFunctionFailed, ""},
    Kind{"crashed", Status::kFunctionFailed, "see 'hearth logs'"},
    Kind{"bad_reply", Status::kFunctionFailed, "see 'hearth logs'"},
    Kind{"out_of_memory", Status::kFunctionFailed, "raise memory_mb in function.toml"},
    Kind{"cpu_exceeded", Status::kFunctionFailed, "raise cpu_ms in function.toml"},
    Kind{"output_exceeded", Status::kFunctionFailed, "raise output_kb in function.toml"},
    Kind{"log_exceeded", Status::kFunctionFailed, "raise logs.call_kb_kill in hearth.toml"},
    Kind{"processes_exceeded", Status::kFunctionFailed, "raise processes_max in function.toml"},
    Kind{"tmp_exceeded", Status::kFunctionFailed, "raise tmp_mb in function.toml"},
    Kind{"interrupted", Status::kFunctionFailed, "hearthd stopped during the call; call again"},
    Kind{"timeout", Status::kTimeout, "raise timeout_ms in function.toml"},
    Kind{"unauthorized", Status::kRefused, "use an account in the group hearth"},
    Kind{"forbidden", Status::kRefused, "use an account in the group hearth"},
    Kind{"too_large", Status::kRefused, "send less, or raise the limit in hearth.toml"},
};

const Kind* find_kind(std::string_view name) {
  for (const Kind& kind : kKinds)
    if (kind.name == name) return &kind;
  return nullptr;
}

// A kind that this program does not know yet still has a meaning by its HTTP status.
Status status_by_http(long http_status) {
  if (http_status == 502) return Status::kFunctionFailed;
  if (http_status == 504) return Status::kTimeout;
  return Status::kRefused;
}

std::string text_of(const Json& error, const char* name) {
  auto found = error.find(name);
  if (found == error.end() || found->is_null()) return {};
  return found->is_string() ? found->get<std::string>() : found->dump();
}

// Nothing when the message says both already.
std::string limit_text(const Json& error, const std::string& message) {
  std::string limit = text_of(error, "limit"), value = text_of(error, "value");
  if (limit.empty() && value.empty()) return {};
  if (value.empty()) return fmt::format(" (limit {})", limit);
  if (limit.empty()) return fmt::format(" (value {})", value);
  bool is_number = value.find_first_not_of("0123456789") == std::string::npos;
  bool names_limit = message.find(limit) != std::string::npos;
  if (message.find(value) != std::string::npos && (names_limit || !is_number)) return {};
  return fmt::format(" (limit {}, value {})", limit, value);
}

std::string message_of(const Json& error) {
  std::string message = text_of(error, "message"), type = text_of(error, "type");
  if (type.empty() || message.starts_with(type)) return message;
  return message.empty() ? type : fmt::format("{}: {}", type, message);
}

}  // namespace

Failure failure_of(long http_status, std::string_view body, std::string_view retry_after) {
  Json parsed = Json::parse(body, nullptr, false);
  Json error;
  if (parsed.is_object()) error = parsed.value("error", Json());
  if (!error.is_object()) {
    return Failure(
        status_by_http(http_status),
        fmt::format("HTTP status {} without an explanation; is this the socket of hearthd?",
                    http_status));
  }
  std::string name = text_of(error, "kind");
  const Kind* kind = find_kind(name);
  std::string line = name;
  std::string message = message_of(error);
  if (!message.empty()) line += (line.empty() ? "" : ": ") + message;
  line += limit_text(error, message);
  std::string call = text_of(error, "call_id");
  if (!call.empty()) line += fmt::format(" [call {}]", call);
  if (kind && !kind->hint.empty()) line += fmt::format("; {}", kind->hint);
  if (!retry_after.empty()) line += fmt::format("; try again in {} s", retry_after);
  return Failure(kind ? kind->status : status_by_http(http_status), one_line(line),
                 text_of(error, "stack"));
}

}  // namespace hearth::cli
