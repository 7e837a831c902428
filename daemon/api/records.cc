// SPDX-License-Identifier: Apache-2.0
// What was called: records, usage, logs.
#include <charconv>
#include <nlohmann/json.hpp>

#include "daemon/api/api.h"
#include "daemon/ledger/record_json.h"
#include "daemon/ledger/timestamp.h"
#include "daemon/loop/offload.h"
#include "daemon/loop/sleep.h"

namespace hearth::daemon {
using http::Response;
using loop::Task;
using Json = nlohmann::json;
namespace {

constexpr uint32_t kRowsMax = 10'000;

// nullopt: not a number. Absent is `fallback`.
std::optional<uint64_t> number(const std::string& text, uint64_t fallback) {
  if (text.empty()) return fallback;
  uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// The filters that calls and usage share; nullopt when one is malformed.
std::optional<ledger::Query> query_of(const Api::Context& context) {
  ledger::Query query;
  query.tenant = context.query("tenant");
  query.function = context.query("function");
  query.outcome = context.query("outcome");
  auto since = number(context.query("since"), 0);
  auto until = number(context.query("until"), 0);
  auto limit = number(context.query("limit"), 100);
  if (!since || !until || !limit || *limit == 0 || *limit > kRowsMax) return std::nullopt;
  query.since_us = *since;
  query.until_us = *until;
  query.limit = static_cast<uint32_t>(*limit);
  return query;
}

Response bad_query() {
  return api_error(400, "bad_request", "since and until are Unix microseconds; limit is 1 to 10000",
                   "limit", std::to_string(kRowsMax));
}

Response bad_outcome(const std::string& name) {
  std::string names;
  for (size_t i = 0; i < ledger::kOutcomeCount; ++i)
    names += std::string(i == 0 ? "" : ", ") + ledger::name_of(ledger::Outcome(i));
  return api_error(400, "bad_request", "no call ends as '" + name + "', only as " + names,
                   "outcome", name);
}

Response raw_json(std::string body) {
  Response response;
  response.headers.set("Content-Type", "application/json");
  response.body = std::move(body);
  return response;
}

std::string log_line(const ledger::LogEntry& entry) {
  static constexpr const char* kStreams[] = {"stdout", "stderr", "platform"};
  Json line = {{"time", ledger::rfc3339(entry.time_us)},
               {"call", entry.call == ledger::Ulid{} ? "" : entry.call.text()},
               {"stream", kStreams[int(entry.stream)]},
               {"text", entry.bytes}};
  if (entry.continues) line["continues"] = true;  // the rest of the line is in its next entry
  return line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

Task<Response> Api::calls(Context context) {
  ledger::Ledger& ledger = services_.ledger;
  if (context.parts.size() == 2) {
    ledger::Ulid id;
    if (!ledger::Ulid::parse(context.parts[1], &id)) {
      co_return api_error(400, "bad_request",
                          "'" + context.parts[1] + "' is no call id (26 characters)", "id",
                          context.parts[1]);
    }
    auto look = [&ledger, id] { return ledger.call(id); };
    auto record = co_await loop::offload(services_.loop, look);
    if (!record)
      co_return api_error(404, "not_found", "no record of call " + id.text(), "id", id.text());
    co_return raw_json(ledger::to_json(*record) + "\n");
  }
  std::optional<ledger::Query> query = query_of(context);
  if (!query) co_return bad_query();
  ledger::Outcome known{};
  if (!query->outcome.empty() && !ledger::parse_name(query->outcome, &known))
    co_return bad_outcome(query->outcome);
  auto look = [&ledger, query] { return ledger.calls(*query); };
  auto records = co_await loop::offload(services_.loop, look);
  std::string body = "[";
  for (const ledger::Record& record : records) {
    if (body.size() > 1) body += ",\n";
    body += ledger::to_json(record);
  }
  co_return raw_json(body + "]\n");
}

Task<Response> Api::usage(Context context) {
  std::optional<ledger::Query> query = query_of(context);
  if (!query) co_return bad_query();
  ledger::Ledger& ledger = services_.ledger;
  auto look = [&ledger, query] { return ledger.usage(*query); };
  auto usage = co_await loop::offload(services_.loop, look);
  std::string body = "[";
  for (const ledger::Usage& row : usage) {
    if (body.size() > 1) body += ",\n";
    body += ledger::to_json(row);
  }
  co_return raw_json(body + "]\n");
}

Task<Response> Api::logs(Context context) {
  const std::string tenant = context.parts[1], function = context.parts[3];
  std::optional<ledger::Ulid> call;
  if (std::string text = context.query("call"); !text.empty()) {
    ledger::Ulid id;
    if (!ledger::Ulid::parse(text, &id))
      co_return api_error(400, "bad_request", "'" + text + "' is no call id", "call", text);
    call = id;
  }
  auto limit = number(context.query("limit"), 1000);
  if (!limit || *limit == 0 || *limit > kRowsMax) co_return bad_query();
  if (!services_.registry.find(tenant, function)) {
    co_return api_error(404, "not_found", "no function '" + function + "'", "function", function);
  }
  ledger::LogStore& logs = services_.logs;
  ledger::LogStore::Position position;
  Response response;
  response.headers.set("Content-Type", "application/x-ndjson");
  for (const auto& entry : logs.read(tenant, function, call, *limit, &position))
    response.body += log_line(entry);
  if (context.query("follow") != "1") co_return response;

  response.stream = [&services = services_, tenant, function, call, position,
                     head = std::move(response.body)](http::ResponseStream& stream) {
    return follow(services, tenant, function, call, position, head, stream);
  };
  response.body.clear();
  co_return response;
}

// Sends what is there, then what comes, until the client goes away or the daemon stops.
Task<void> Api::follow(Services& services, std::string tenant, std::string function,
                       std::optional<ledger::Ulid> call, ledger::LogStore::Position position,
                       std::string head, http::ResponseStream& stream) {
  if (!head.empty()) co_await stream.write(head);
  while (!services.draining) {
    std::string lines;
    for (const auto& entry : services.logs.read_from(tenant, function, call, &position)) {
      lines += log_line(entry);
    }
    if (!lines.empty()) co_await stream.write(lines);
    co_await loop::Sleep(services.loop, std::chrono::milliseconds(200));
  }
}

}  // namespace hearth::daemon
