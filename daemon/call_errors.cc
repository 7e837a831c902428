// SPDX-License-Identifier: Apache-2.0
#include "daemon/call_errors.h"

#include <fmt/format.h>
#include <signal.h>
#include <simdjson.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstring>

#include "daemon/call_meter.h"
#include "daemon/runtime.h"
#include "sandbox/frame.h"

namespace hearth::daemon {
using ledger::Outcome;
using registry::Manifest;
using std::chrono::milliseconds;
namespace {

CallError error(int status, std::string kind, std::string stage, std::string message,
                std::string limit = {}, std::string value = {}) {
  CallError e;
  e.status = status;
  e.kind = std::move(kind);
  e.stage = std::move(stage);
  e.message = std::move(message);
  e.limit = std::move(limit);
  e.value = std::move(value);
  return e;
}

CallError busy(int status, std::string kind, std::string message, std::string limit, uint64_t value,
               milliseconds retry) {
  CallError e = error(status, std::move(kind), "admit", std::move(message), std::move(limit));
  if (!e.limit.empty()) e.value = fmt::format("{}", value);
  e.retry_after = std::max(retry, milliseconds(1000));
  return e;
}

// simdjson reads beyond the end of its input, so the body is copied into a padded buffer that is
// kept for the next one.
bool is_json(std::string_view body) {
  static simdjson::dom::parser parser;
  simdjson::dom::element document;
  return parser.parse(body.data(), body.size(), true).get(document) == simdjson::SUCCESS;
}

std::string exit_message(int status) {
  return how_it_ended(status) + (WIFEXITED(status) ? " before it answered" : "");
}

std::string field(const sandbox::frame::Pairs& pairs, std::string_view name) {
  for (auto [key, value] : pairs) {
    if (key == name) return std::string(value);
  }
  return {};
}

// An error frame's own words.
CallError function_error(const CallOutput& output) {
  sandbox::frame::Pairs pairs =
      sandbox::frame::parse_meta(output.meta).value_or(sandbox::frame::Pairs{});
  bool bad_reply = field(pairs, "kind") == "bad_reply";
  CallError e =
      error(502, bad_reply ? "bad_reply" : "function_error", "run", field(pairs, "message"));
  e.type = field(pairs, "type");
  e.stack = field(pairs, "stack");
  return e;
}

CallError exit_error(const CallOutput& output, const Manifest& manifest) {
  if (manifest.runtime != registry::Runtime::kExec || !WIFEXITED(output.wait_status)) {
    return error(502, "crashed", "run", exit_message(output.wait_status));
  }
  CallError e =
      error(502, "function_error", "run",
            fmt::format("the program exited with status {}", WEXITSTATUS(output.wait_status)));
  e.type = fmt::format("Exit{}", WEXITSTATUS(output.wait_status));
  e.stack = output.error_tail;
  return e;
}

}  // namespace

CallError not_found(const registry::Registry& registry, const Call& call) {
  if (registry.tenant(call.tenant) == nullptr) {
    return error(404, "not_found", "lookup", fmt::format("no tenant '{}'", call.tenant), "tenant",
                 call.tenant);
  }
  return error(404, "not_found", "lookup",
               fmt::format("tenant '{}' has no function '{}'", call.tenant, call.function),
               "function", call.function);
}

std::optional<CallError> check_request(const registry::Version& version, const Call& call) {
  const Manifest& manifest = version.manifest;
  if (call.trigger == ledger::Trigger::kHttp) {
    if (!manifest.http) {
      return error(404, "not_found", "lookup",
                   fmt::format("function '{}' has no HTTP trigger", manifest.name));
    }
    const auto& methods = manifest.http->methods;
    if (!methods.empty() &&
        std::find(methods.begin(), methods.end(), call.method) == methods.end()) {
      return error(405, "method_not_allowed", "lookup",
                   fmt::format("function '{}' does not take {}", manifest.name, call.method),
                   "http.methods", fmt::format("{}", fmt::join(methods, ", ")));
    }
  } else if (wants_json(manifest.runtime) && !call.body.empty() && !is_json(call.body)) {
    return error(400, "bad_request", "parse",
                 fmt::format("the event is not valid JSON, which {} functions take",
                             registry::name_of(manifest.runtime)));
  }
  return std::nullopt;
}

CallError ledger_full(const Services& services) {
  if (services.ledger.healthy()) {
    return busy(503, "overloaded", "too many records wait for the ledger's database",
                "ledger.slots", services.ledger.slots(), milliseconds(5000));
  }
  return busy(503, "overloaded",
              fmt::format("the ledger takes no records: {}", services.ledger.error()), "", 0,
              milliseconds(5000));
}

Answer refused(Services& services, CallError e) {
  services.metrics.call_refused(e.kind);
  Answer answer;
  answer.error = std::move(e);
  return answer;
}

namespace {

CallError start_error(const StartFailure& failure) {
  if (!failure.code_failed) {
    CallError e =
        error(503, "overloaded", "start",
              fmt::format("a sandbox could not be set up: {} '{}': {}", failure.failure.step,
                          failure.failure.object, std::strerror(failure.failure.error)));
    e.retry_after = milliseconds(5000);
    return e;
  }
  CallError e = error(502, "function_error", "load", failure.message);
  e.type = failure.type;
  e.stack = failure.stack;
  if (failure.limit_ms != 0) {
    e.limit = "deploy.load_timeout_ms";
    e.value = fmt::format("{}", failure.limit_ms);
  }
  return e;
}

ledger::Record load_record(Services& services, const Call& call, const registry::Version& version) {
  ledger::Record record;
  record.id = call.id;
  std::strncpy(record.tenant, call.tenant.c_str(), sizeof record.tenant - 1);
  std::strncpy(record.function, call.function.c_str(), sizeof record.function - 1);
  record.version = version.number;
  record.trigger = call.trigger;
  record.outcome = Outcome::kLoadError;
  record.received_at_us = call.received_at_us;
  record.limits_best_effort = services.limits == sandbox::LimitsMode::kBestEffort;
  record.memory_mb = version.manifest.memory_mb;
  record.in_bytes = call.body.size();
  auto waited = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - call.received);
  record.queue_us = record.total_us = static_cast<uint64_t>(waited.count());
  return record;
}

}  // namespace

Answer not_leased(Services& services, const Call& call, const registry::Version& version,
                  Refused refusal) {
  auto retry = std::chrono::duration_cast<milliseconds>(refusal.retry_after);
  const std::string& name = version.manifest.name;
  switch (refusal.why) {
    case pool::Refusal::kQueueFull:
      return refused(services, busy(429, "concurrency",
                                    fmt::format("too many calls of '{}' are waiting", name),
                                    "pool.waiting_per_function_max", refusal.limit, retry));
    case pool::Refusal::kRoomFull:
      return refused(services, busy(429, "concurrency", "too many calls are waiting",
                                    "pool.waiting_max", refusal.limit, retry));
    case pool::Refusal::kWaitedTooLong:
      return refused(services, busy(429, "concurrency",
                                    fmt::format("no sandbox of '{}' became free in time", name),
                                    "pool.wait_ms_max", refusal.limit, retry));
    case pool::Refusal::kNoMemory:
      return refused(services,
                     busy(503, "overloaded", "the host has no memory left for another sandbox",
                          "pool.memory_mb_max", refusal.limit >> 20, retry));
    case pool::Refusal::kDraining:
      return refused(services, busy(503, "draining", "hearthd is stopping", "", 0, retry));
    case pool::Refusal::kFunctionGone:
      return refused(services, error(404, "not_found", "lookup",
                                     fmt::format("'{}' was deleted or replaced", name)));
    case pool::Refusal::kStartFailed:
      break;
  }
  StartFailure failure =
      refusal.failure.value_or(StartFailure{{"start", name, EAGAIN}, false, {}, {}, {}});
  Answer answer = refused(services, start_error(failure));
  if (!failure.code_failed) return answer;
  ledger::Slot* slot = services.ledger.claim(load_record(services, call, version));
  if (slot == nullptr) return refused(services, ledger_full(services));
  answer.record = services.ledger.record(slot);
  services.ledger.finish(slot);
  return answer;
}

loop::Task<Outcome> diagnose(Services& services, Worker& worker, const registry::Version& version,
                             const CallOutput& output) {
  (void)services;
  switch (output.end) {
    case End::kReplied:
      co_return Outcome::kOk;
    case End::kTimeout:
      co_return Outcome::kTimeout;
    case End::kOutputExceeded:
      co_return Outcome::kOutputExceeded;
    case End::kLogExceeded:
      co_return Outcome::kLogExceeded;
    case End::kCpuExceeded:
      co_return Outcome::kCpuExceeded;
    case End::kMemoryExceeded:
      co_return Outcome::kOutOfMemory;
    case End::kProcessesExceeded:
      co_return Outcome::kProcessesExceeded;
    case End::kBroken:
      co_return Outcome::kBadReply;
    case End::kAbandoned:
      co_return Outcome::kCancelled;
    case End::kError:
    case End::kExited:
    case End::kSandboxGone:
      break;
  }
  // It failed by itself. A limit that it ran into explains more than its own words do.
  if (worker.ran_out_of_memory()) co_return Outcome::kOutOfMemory;
  if (worker.ran_out_of_processes()) co_return Outcome::kProcessesExceeded;
  if (output.end != End::kSandboxGone) {
    auto tmp = co_await worker.probe(milliseconds(100));
    constexpr uint64_t kPageBytes = 4096;
    if (tmp && tmp->tmp_bytes != 0 && tmp->tmp_bytes_used + kPageBytes > tmp->tmp_bytes)
      co_return Outcome::kTmpExceeded;
  }
  if (output.end == End::kError) {
    co_return call_error(Outcome::kFunctionError, output, version, services).kind == "bad_reply"
        ? Outcome::kBadReply
        : Outcome::kFunctionError;
  }
  bool said_error = output.end == End::kExited &&
                    version.manifest.runtime == registry::Runtime::kExec &&
                    WIFEXITED(output.wait_status);
  co_return said_error ? Outcome::kFunctionError : Outcome::kCrashed;
}

CallError call_error(Outcome outcome, const CallOutput& output, const registry::Version& version,
                     const Services& services) {
  const Manifest& m = version.manifest;
  auto over = [](int status, const char* what, const char* limit, uint64_t value, Outcome kind) {
    return error(status, ledger::name_of(kind), "run",
                 fmt::format("the call {} ({} = {})", what, limit, value), limit,
                 fmt::format("{}", value));
  };
  switch (outcome) {
    case Outcome::kTimeout:
      return over(504, "passed its deadline", "timeout_ms", m.timeout_ms, outcome);
    case Outcome::kOutOfMemory:
      return over(502, "ran out of memory", "memory_mb", m.memory_mb, outcome);
    case Outcome::kCpuExceeded:
      return over(502, "used up its CPU time", "cpu_ms", m.cpu_ms, outcome);
    case Outcome::kOutputExceeded:
      return over(502, "answered more than it may", "output_kb", m.output_kb, outcome);
    case Outcome::kLogExceeded:
      return over(502, "wrote more log than it may", "logs.call_kb_kill",
                  services.log_bytes_kill >> 10, outcome);
    case Outcome::kProcessesExceeded:
      return over(502, "made more processes than it may", "processes_max", m.processes_max,
                  outcome);
    case Outcome::kTmpExceeded:
      return over(502, "filled /tmp", "tmp_mb", m.tmp_mb, outcome);
    default:
      break;
  }
  if (output.end == End::kError) return function_error(output);
  if (output.end == End::kExited) return exit_error(output, m);
  if (output.end == End::kBroken) {
    return error(502, "bad_reply", "run",
                 "the process sent something that is no answer, or closed its channel");
  }
  return error(502, "crashed", "run", "the sandbox was killed while the call ran");
}

}  // namespace hearth::daemon
