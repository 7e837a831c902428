// SPDX-License-Identifier: Apache-2.0
// Deploying, describing, calling and removing functions.
#include <fmt/format.h>
#include <simdjson.h>

#include <nlohmann/json.hpp>

#include "daemon/api/api.h"
#include "daemon/call_meter.h"
#include "daemon/http/error.h"
#include "daemon/ledger/record_json.h"
#include "daemon/ledger/timestamp.h"
#include "daemon/runtime.h"
#include "daemon/triggers/http_trigger.h"
#include "sandbox/frame.h"

namespace hearth::daemon {
using http::Response;
using loop::Task;
using Json = nlohmann::json;
namespace {

Response refusal(const CallError& error) {
  http::ErrorBody body;
  body.kind = error.kind;
  body.stage = error.stage;
  body.message = error.message;
  body.limit = error.limit;
  body.value = error.value;
  body.type = error.type;
  body.stack = error.stack;
  body.retry_after = error.retry_after;
  return http::error_response(error.status, body);
}

}  // namespace

Json Api::function_row(const registry::Version& version, bool live) const {
  const registry::Manifest& m = version.manifest;
  Json row = {{"name", m.name},
              {"tenant", version.tenant},
              {"version", version.number},
              {"live", live},
              {"runtime", registry::name_of(m.runtime)},
              {"handler", m.handler},
              {"image", image_of(m, deployer_.default_image())},
              {"memory_mb", m.memory_mb},
              {"timeout_ms", m.timeout_ms},
              {"cpu_ms", m.cpu_ms},
              {"cpu_percent", m.cpu_percent},
              {"processes_max", m.processes_max},
              {"tmp_mb", m.tmp_mb},
              {"io_mb_per_s", m.io_mb_per_s},
              {"io_reads_per_s", m.io_reads_per_s},
              {"output_kb", m.output_kb},
              {"log_kb", m.log_kb},
              {"reuse", registry::name_of(m.reuse)},
              {"concurrency_max", m.concurrency_max},
              {"warm_min", m.warm_min},
              {"env", m.env},
              {"hash", version.hash},
              {"bytes", version.bytes},
              {"created_at", ledger::rfc3339(version.created_at_us)}};
  if (m.http) {
    row["http"] = {{"public", m.http->is_public},
                   {"methods", m.http->methods},
                   {"path", fmt::format("/fn/{}/{}", version.tenant, m.name)}};
  }
  return row;
}

Task<Response> Api::deploy(Context context) {
  bool verify = context.query("verify") != "0";
  if (!context.request.body_file || context.request.body_file->bytes() == 0) {
    co_return api_error(400, "bad_request",
                        "a deploy's body is a .zip or .tar.gz archive, and this request has none");
  }
  auto result =
      co_await deployer_.deploy(context.parts[1], context.request.body_file->path(), verify);
  context.request.body_file.reset();  // gone before the answer, which others may act upon
  if (auto* error = std::get_if<CallError>(&result)) co_return refusal(*error);
  Deployed& deployed = std::get<Deployed>(result);
  Json row = function_row(*deployed.version, true);
  row["changed"] = deployed.changed;
  co_return json_response(row, deployed.changed ? 201 : 200);
}

Task<Response> Api::function(Context context) {
  const std::string& tenant = context.parts[1];
  const std::string& name = context.parts[3];
  if (context.request.method == "DELETE") {
    auto error = co_await deployer_.remove(tenant, name);
    if (error) co_return refusal(*error);
    co_return json_response(Json::object());
  }
  auto version = services_.registry.find(tenant, name);
  if (!version) {
    co_return api_error(404, "not_found",
                        fmt::format("tenant '{}' has no function '{}'", tenant, name), "function",
                        name);
  }
  if (context.request.method != "GET")
    co_return api_error(405, "method_not_allowed", "a function takes GET and DELETE");
  Json row = function_row(*version, true);
  pool::Pool::Counts counts = services_.fleet.counts(version->id);
  row["sandboxes"] = {{"starting", counts.starting},
                      {"ready", counts.ready},
                      {"running", counts.running},
                      {"waiting", counts.waiting}};
  co_return json_response(row);
}

Task<Response> Api::rollback(Context context) {
  std::optional<uint32_t> number;
  if (!context.request.body.empty()) {
    simdjson::dom::parser parser;
    simdjson::dom::element document;
    uint64_t asked = 0;
    if (parser.parse(context.request.body).get(document) != simdjson::SUCCESS ||
        !document.is_object()) {
      co_return api_error(400, "bad_request", "the body of a rollback is a JSON object, or empty");
    }
    simdjson::error_code found = document["version"].get(asked);
    bool given = found == simdjson::SUCCESS;
    if ((!given && found != simdjson::NO_SUCH_FIELD) || asked > UINT32_MAX) {
      co_return api_error(400, "bad_request", "\"version\" is a version's number");
    }
    if (given) number = static_cast<uint32_t>(asked);
  }
  auto result = deployer_.rollback(context.parts[1], context.parts[3], number);
  if (auto* error = std::get_if<CallError>(&result)) co_return refusal(*error);
  co_return json_response(function_row(*std::get<Deployed>(result).version, true));
}

Task<Response> Api::invoke_function(Context context) {
  http::Request& request = context.request;
  Call call;
  call.id = ledger::Ulid::make();
  call.tenant = context.parts[1];
  call.function = context.parts[3];
  call.received_at_us = unix_microseconds();
  sandbox::frame::append_meta(call.meta, "trigger", "cli");
  call.body = request.body;
  ledger::Ulid id = call.id;
  Answer answer = co_await invoke(services_, std::move(call));
  Response response;
  if (answer.error) {
    response = error_response(answer, id);
  } else {
    response.headers.set("Content-Type", "application/octet-stream");
    response.body = std::move(answer.body);
    add_call_headers(response, id, answer.record);
  }
  if (answer.record && request.headers.find("hearth-want-record")) {
    response.headers.set("Hearth-Record", ledger::to_json(*answer.record));
  }
  co_return response;
}

}  // namespace hearth::daemon
