// SPDX-License-Identifier: Apache-2.0
#include "daemon/triggers/http_trigger.h"

#include <fmt/format.h>

#include <charconv>

#include "daemon/call_meter.h"
#include "daemon/http/characters.h"
#include "daemon/http/error.h"
#include "sandbox/frame.h"

namespace hearth::daemon {
using loop::Task;
using sandbox::frame::append_meta;
namespace {

// The request as the call frame's meta: the same names for every runtime.
std::string meta_of(const http::Request& request, std::string_view path, uint64_t now_us) {
  std::string meta;
  meta.reserve(512);
  append_meta(meta, "trigger", "http");
  append_meta(meta, "method", request.method);
  append_meta(meta, "path", path);
  append_meta(meta, "query", request.query);
  append_meta(meta, "source_ip", request.peer.address);
  append_meta(meta, "protocol", request.version_minor == 0 ? "HTTP/1.0" : "HTTP/1.1");
  append_meta(meta, "time_ms", fmt::format_int(now_us / 1000).c_str());
  for (auto [name, value] : request.headers) {
    meta += "h:";
    append_meta(meta, name, value);
  }
  return meta;
}

// CGI's names, for programs that take the request from their environment.
std::vector<std::string> environment_of(const http::Request& request, std::string_view path) {
  std::vector<std::string> env = {fmt::format("REQUEST_METHOD={}", request.method),
                                  fmt::format("PATH_INFO={}", path),
                                  fmt::format("QUERY_STRING={}", request.query),
                                  fmt::format("REMOTE_ADDR={}", request.peer.address),
                                  fmt::format("CONTENT_LENGTH={}", request.body.size()),
                                  "GATEWAY_INTERFACE=CGI/1.1"};
  for (auto [header, value] : request.headers) {
    std::string name;
    for (char c : header)
      name += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    if (name == "CONTENT_TYPE") {
      env.push_back(fmt::format("CONTENT_TYPE={}", value));
    } else if (name != "PROXY") {  // HTTP_PROXY is a variable that libraries obey
      env.push_back(fmt::format("HTTP_{}={}", name, value));
    }
  }
  return env;
}

struct Target {
  std::string_view tenant, function, rest;
};

// "/fn/TENANT/NAME/rest" in parts; nullopt when it is too short.
std::optional<Target> split(std::string_view path) {
  constexpr std::string_view kPrefix = "/fn/";
  if (!path.starts_with(kPrefix)) return std::nullopt;
  path.remove_prefix(kPrefix.size());
  size_t slash = path.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  Target target{path.substr(0, slash), path.substr(slash + 1), "/"};
  size_t rest = target.function.find('/');
  if (rest != std::string_view::npos) {
    target.rest = target.function.substr(rest);
    target.function = target.function.substr(0, rest);
  }
  return target;
}

// What hearthd says about a call is not the function's to say.
bool is_ours(std::string_view header) {
  constexpr std::string_view kPrefix = "hearth-";
  return http::same_letters(header.substr(0, kPrefix.size()), kPrefix);
}

http::Response response_of(Answer& answer) {
  http::Response response;
  std::string_view content_type = "application/octet-stream";
  sandbox::frame::Pairs pairs =
      sandbox::frame::parse_meta(answer.meta).value_or(sandbox::frame::Pairs{});
  for (auto [name, value] : pairs) {
    if (name == "status") {
      int status = 0;
      auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), status);
      bool valid = error == std::errc() && end == value.data() + value.size() && status >= 200 &&
                   status <= 599;
      response.status = valid ? status : 502;
    } else if (name == "content_type") {
      content_type = value;
    } else if (name.starts_with("h:")) {
      name.remove_prefix(2);
      // A header that is none is left out, and one that would pass for hearthd's own.
      if (!is_ours(name)) (void)response.headers.add(name, value);
    }
  }
  if (!response.headers.find("content-type"))
    (void)response.headers.add("content-type", content_type);
  response.body = std::move(answer.body);
  return response;
}

}  // namespace

void add_call_headers(http::Response& response, const ledger::Ulid& id,
                      const std::optional<ledger::Record>& record) {
  response.headers.set("Hearth-Call-Id", id.characters());
  if (!record) return;
  response.headers.set("Hearth-Start", ledger::name_of(record->start));
  response.headers.set("Hearth-Run-Us", fmt::format_int(record->run_us).c_str());
  response.headers.set("Hearth-Billed-Ms", fmt::format_int(record->billed_ms).c_str());
  response.headers.set("Hearth-Cpu-Us",
                       fmt::format_int(record->cpu_user_us + record->cpu_system_us).c_str());
  response.headers.set("Hearth-Memory-Peak", fmt::format_int(record->memory_peak_bytes).c_str());
}

http::Response error_response(const Answer& answer, const ledger::Ulid& id) {
  const CallError& error = *answer.error;
  http::ErrorBody body;
  body.kind = error.kind;
  body.stage = error.stage;
  body.message = error.message;
  body.limit = error.limit;
  body.value = error.value;
  body.call_id = id.text();
  body.type = error.type;
  body.stack = error.stack;
  body.retry_after = error.retry_after;
  http::Response response = http::error_response(error.status, body);
  if (error.status == 405) response.headers.set("Allow", error.value);
  add_call_headers(response, id, answer.record);
  return response;
}

Task<http::Response> serve_function(Services& services, http::Request& request) {
  std::optional<Target> target = split(request.path);
  ledger::Ulid id = ledger::Ulid::make();
  if (!target) {
    Answer nowhere;
    nowhere.error = CallError{
        404, "not_found", "lookup", "functions are at /fn/TENANT/NAME", {}, {}, {}, {}, {}};
    co_return error_response(nowhere, id);
  }
  Call call;
  call.id = id;
  call.tenant = target->tenant;
  call.function = target->function;
  call.trigger = ledger::Trigger::kHttp;
  call.received_at_us = unix_microseconds();
  call.meta = meta_of(request, target->rest, call.received_at_us);
  call.environment = [&request, &target] { return environment_of(request, target->rest); };
  call.body = request.body;
  call.method = request.method;
  Answer answer = co_await invoke(services, std::move(call));
  if (answer.error) co_return error_response(answer, id);
  http::Response response = response_of(answer);
  add_call_headers(response, id, answer.record);
  co_return response;
}

}  // namespace hearth::daemon
