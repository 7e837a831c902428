// SPDX-License-Identifier: Apache-2.0
// Which request goes where.
#include "daemon/api/api.h"

#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "daemon/api/openapi.h"
#include "daemon/http/error.h"
#include "daemon/triggers/http_trigger.h"
#include "sandbox/sys/error.h"
#include "sandbox/sys/log.h"

namespace hearth::daemon {
using http::Request;
using http::Response;
using loop::Task;
using Json = nlohmann::json;
namespace {

std::vector<std::string> split_path(std::string_view path) {
  std::vector<std::string> parts;
  while (!path.empty()) {
    size_t slash = std::min(path.find('/'), path.size());
    if (slash > 0) parts.push_back(http::decode(path.substr(0, slash)).value_or(""));
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  return parts;
}

Response text(int status, std::string body, std::string_view type) {
  Response response;
  response.status = status;
  response.headers.set("Content-Type", type);
  response.body = std::move(body);
  return response;
}

}  // namespace

Response json_response(const Json& body, int status) {
  // Function names and messages may hold any bytes; what is no UTF-8 is replaced, not fatal.
  return text(status, body.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n",
              "application/json");
}

Response api_error(int status, std::string kind, std::string message, std::string limit,
                   std::string value) {
  http::ErrorBody body;
  body.kind = std::move(kind);
  body.stage = "request";
  body.message = std::move(message);
  body.limit = std::move(limit);
  body.value = std::move(value);
  return http::error_response(status, body);
}

std::string Api::Context::query(std::string_view name) const {
  return http::query_value(request.query, name).value_or("");
}

Api::Api(Services& services, Deployer& deployer, ApiOptions options,
         std::function<const http::Counters&()> http)
    : services_(services),
      deployer_(deployer),
      options_(std::move(options)),
      http_(std::move(http)) {}

Task<Response> Api::handle(Request& request) {
  std::string_view path = request.path;
  if (path.starts_with("/fn/")) co_return co_await serve_function(services_, request);
  if (path.starts_with("/v1/")) co_return co_await manage(request);
  bool read = request.method == "GET" || request.method == "HEAD";
  if (read && path == "/healthz") co_return text(200, "ok\n", "text/plain");
  if (read && path == "/readyz") co_return ready();
  if (read && path == "/metrics") co_return metrics();
  if (path == "/healthz" || path == "/readyz" || path == "/metrics")
    co_return api_error(405, "method_not_allowed", std::string(path) + " takes GET and HEAD");
  co_return api_error(404, "not_found",
                      "nothing is served at this path; functions are at /fn/TENANT/NAME", "path",
                      std::string(path));
}

// On the Unix socket the kernel says who calls. Over TCP nobody is known.
bool Api::may_manage(const http::Peer& peer) const {
  if (!peer.unix) return false;
  const auto& groups = peer.groups;
  return peer.uid == 0 || peer.uid == ::geteuid() || peer.gid == options_.admin_gid ||
         std::find(groups.begin(), groups.end(), options_.admin_gid) != groups.end();
}

Task<Response> Api::manage(Request& request) {
  if (!may_manage(request.peer)) {
    co_return api_error(
        403, "forbidden",
        request.peer.unix ? "the management API is for root, hearthd's own user and the admin group"
                          : "the management API is served on the Unix socket only");
  }
  try {
    co_return co_await resource(request);
  } catch (const sys::Error& error) {
    // Who manages may know what the host refused; who calls a function may not.
    sys::log::error("request failed", {{"path", request.path}, {"error", error.what()}});
    co_return api_error(500, "internal", error.what());
  }
}

Task<Response> Api::resource(Request& request) {
  Context context{request, split_path(std::string_view(request.path).substr(4))};
  const auto& parts = context.parts;
  const std::string& method = request.method;
  std::string first = parts.empty() ? "" : parts[0];
  if (first == "status" && method == "GET") co_return status();
  if (first == "openapi.json" && method == "GET") co_return text(200, kOpenApi, "application/json");
  if (first == "calls" && method == "GET") co_return co_await calls(context);
  if (first == "usage" && method == "GET") co_return co_await usage(context);
  if (first == "images") co_return co_await images(context);
  if (first == "tenants" && parts.size() <= 2) co_return co_await tenants(context);
  if (first == "tenants" && parts.size() >= 3 && parts[2] == "functions")
    co_return co_await functions(context);
  co_return api_error(404, "not_found", "no such resource in the management API", "path",
                      std::string(request.path));
}

Task<Response> Api::functions(Context context) {
  const auto& parts = context.parts;
  const std::string& method = context.request.method;
  if (services_.registry.tenant(parts[1]) == nullptr) {
    co_return api_error(404, "not_found", "no tenant '" + parts[1] + "'", "tenant", parts[1]);
  }
  std::string verb = parts.size() == 5 ? parts[4] : "";
  if (parts.size() == 3 && method == "POST") co_return co_await deploy(context);
  if (parts.size() == 3 && method == "GET") {
    Json rows = Json::array();
    for (const auto& version : services_.registry.live(parts[1]))
      rows.push_back(function_row(*version, true));
    co_return json_response(rows);
  }
  if (parts.size() == 4) co_return co_await function(context);
  if (verb == "invocations" && method == "POST") co_return co_await invoke_function(context);
  if (verb == "rollback" && method == "POST") co_return co_await rollback(context);
  if (verb == "logs" && method == "GET") co_return co_await logs(context);
  if (verb == "versions" && method == "GET") {
    auto live = services_.registry.find(parts[1], parts[3]);
    auto versions = services_.registry.versions(parts[1], parts[3]);
    if (versions.empty())
      co_return api_error(404, "not_found", "no function '" + parts[3] + "'", "function", parts[3]);
    Json rows = Json::array();
    for (const auto& version : versions) rows.push_back(function_row(*version, version == live));
    co_return json_response(rows);
  }
  co_return api_error(405, "method_not_allowed", method + " is not served here", "path",
                      std::string(context.request.path));
}

}  // namespace hearth::daemon
