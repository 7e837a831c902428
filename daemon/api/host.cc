// SPDX-License-Identifier: Apache-2.0
// The host's side: status, tenants, images, readiness, metrics.
#include <fmt/format.h>
#include <simdjson.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "daemon/api/api.h"
#include "daemon/ledger/timestamp.h"

namespace hearth::daemon {
namespace fs = std::filesystem;
using http::Response;
using loop::Task;
using Json = nlohmann::json;
namespace {

Json counts_json(const pool::Pool::Counts& counts) {
  return {{"generic", counts.generic},
          {"starting", counts.starting},
          {"ready", counts.ready},
          {"running", counts.running},
          {"stopping", counts.stopping},
          {"waiting", counts.waiting},
          {"memory_bytes", counts.memory_bytes}};
}

}  // namespace

Response Api::status() {
  bool strict = services_.limits == sandbox::LimitsMode::kStrict;
  Json sandboxes = counts_json(services_.fleet.counts());
  sandboxes["memory_bytes_max"] = options_.pool_memory_bytes;
  Json functions = Json::array();
  for (const auto& version : services_.registry.live()) {
    pool::Pool::Counts counts = services_.fleet.counts(version->id);
    Metrics::Totals totals = services_.metrics.totals(version->tenant, version->manifest.name);
    functions.push_back({{"tenant", version->tenant},
                         {"name", version->manifest.name},
                         {"version", version->number},
                         {"ready", counts.ready},
                         {"running", counts.running},
                         {"waiting", counts.waiting},
                         {"calls", totals.calls},
                         {"cpu_us", totals.cpu_us}});
  }
  auto uptime = std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - started_).count();
  Json ledger = {{"healthy", services_.ledger.healthy()}, {"error", services_.ledger.error()}};
  return json_response(
      {{"version", options_.version},
       {"pid", ::getpid()},
       {"uptime_s", uptime},
       {"state_dir", options_.state_dir},
       {"draining", services_.draining},
       {"limits",
        {{"mode", strict ? "strict" : "best-effort"},
         {"memory", strict ? "memory.max" : "sampled every 10 ms, killed above the limit"},
         {"cpu", strict ? "cpu.max" : "cpu.stat sampled every 10 ms; no cap on the rate"},
         {"reads", services_.disks.obstacle.empty() ? "io.max of " + services_.disks.devices
                                                    : "none: " + services_.disks.obstacle},
         {"processes", strict ? "pids.max" : "RLIMIT_NPROC and cgroup.procs sampled every 10 ms"}}},
       {"ledger", ledger},
       {"sandboxes", sandboxes},
       {"functions", functions}});
}

Task<Response> Api::tenants(Context context) {
  registry::Registry& registry = services_.registry;
  const std::string& method = context.request.method;
  auto row = [&](const registry::Tenant& tenant) {
    return Json{{"name", tenant.name},
                {"concurrency_max", tenant.concurrency_max},
                {"functions", registry.live(tenant.name).size()},
                {"created_at", ledger::rfc3339(tenant.created_at_us)}};
  };
  if (context.parts.size() == 1 && method == "GET") {
    Json rows = Json::array();
    for (const registry::Tenant& tenant : registry.tenants()) rows.push_back(row(tenant));
    co_return json_response(rows);
  }
  if (context.parts.size() == 1 && method == "POST") {
    simdjson::dom::parser parser;
    simdjson::dom::element document;
    std::string_view name;
    uint64_t concurrency = registry::Tenant{}.concurrency_max;
    bool good = parser.parse(context.request.body).get(document) == simdjson::SUCCESS &&
                document.is_object() && document["name"].get(name) == simdjson::SUCCESS;
    simdjson::error_code given =
        good ? document["concurrency_max"].get(concurrency) : simdjson::SUCCESS;
    if (!good || (given != simdjson::SUCCESS && given != simdjson::NO_SUCH_FIELD)) {
      co_return api_error(400, "bad_request", "a tenant is {\"name\": …, \"concurrency_max\": …}");
    }
    if (!registry::valid_name(name)) {
      co_return api_error(400, "bad_request", "a tenant's name is 1 to 63 of a-z, 0-9 and -",
                          "name", std::string(name));
    }
    if (concurrency < 1 || concurrency > 10'000) {
      co_return api_error(400, "bad_request", "concurrency_max is 1 to 10000", "concurrency_max",
                          fmt::format("{}", concurrency));
    }
    registry::Tenant tenant{std::string(name), static_cast<uint32_t>(concurrency), 0};
    if (!registry.create_tenant(tenant)) {
      co_return api_error(409, "conflict", fmt::format("tenant '{}' exists", tenant.name), "tenant",
                          tenant.name);
    }
    services_.fleet.set_tenant(tenant.name, tenant.concurrency_max);
    co_return json_response(row(*registry.tenant(tenant.name)), 201);
  }
  const std::string name = context.parts.size() == 2 ? context.parts[1] : "";
  const registry::Tenant* tenant = registry.tenant(name);
  if (tenant == nullptr)
    co_return api_error(404, "not_found", fmt::format("no tenant '{}'", name), "tenant", name);
  if (method == "GET") co_return json_response(row(*tenant));
  if (method != "DELETE")
    co_return api_error(405, "method_not_allowed", "a tenant takes GET and DELETE");
  if (!registry.delete_tenant(name)) {
    co_return api_error(409, "conflict",
                        fmt::format("tenant '{}' still has functions; delete them first", name),
                        "tenant", name);
  }
  services_.fleet.remove_tenant(name);
  co_return json_response(Json::object());
}

Task<Response> Api::images(Context context) {
  if (context.parts.size() == 2 && context.request.method == "DELETE") {
    const std::string& name = context.parts[1];
    if (!deployer_.image_exists(name))
      co_return api_error(404, "not_found", fmt::format("no image '{}'", name), "image", name);
    if (services_.registry.image_in_use(name)) {
      co_return api_error(409, "conflict", fmt::format("functions use image '{}'", name), "image",
                          name);
    }
    co_return json_response(Json::object());
  }
  if (context.request.method != "GET")
    co_return api_error(405, "method_not_allowed", "images take GET, an image DELETE");
  Json rows = Json::array();
  std::error_code none;
  for (const fs::directory_entry& entry :
       fs::directory_iterator(options_.state_dir + "/images", none)) {
    std::string name = entry.path().filename();
    if (!registry::valid_name(name) || !deployer_.image_exists(name)) continue;
    std::ifstream file(entry.path() / "image.json");
    std::stringstream text;
    text << file.rdbuf();
    Json row = Json::parse(text.str(), nullptr, false);
    if (!row.is_object()) row = Json::object();
    row["name"] = name;
    row["in_use"] = services_.registry.image_in_use(name);
    rows.push_back(std::move(row));
  }
  if (deployer_.image_exists("host")) {
    rows.push_back({{"name", "host"},
                    {"recipe", "host"},
                    {"in_use", services_.registry.image_in_use("host")}});
  }
  co_return json_response(rows);
}

Response Api::ready() {
  if (services_.draining) return api_error(503, "draining", "hearthd is stopping");
  if (!services_.ledger.healthy())
    return api_error(503, "overloaded", "the ledger takes no records: " + services_.ledger.error());
  Response response;
  response.headers.set("Content-Type", "text/plain");
  response.body = "ready\n";
  return response;
}

Response Api::metrics() {
  Response response;
  response.headers.set("Content-Type", "text/plain; version=0.0.4");
  response.body = services_.metrics.expose(
      {services_.fleet.counts(), services_.ledger, http_(), services_.logs, services_.limits});
  return response;
}

}  // namespace hearth::daemon
