// SPDX-License-Identifier: Apache-2.0
#include "daemon/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "daemon/build_info.h"
#include "daemon/process_metrics.h"

namespace hearth::daemon {
namespace {

void family(std::string& out, std::string_view name, std::string_view type, std::string_view help) {
  fmt::format_to(std::back_inserter(out), "# HELP {0} {2}\n# TYPE {0} {1}\n", name, type, help);
}

template <typename Value>
void sample(std::string& out, std::string_view name, std::string_view labels, Value value) {
  if (labels.empty()) {
    fmt::format_to(std::back_inserter(out), "{} {}\n", name, value);
  } else {
    fmt::format_to(std::back_inserter(out), "{}{{{}}} {}\n", name, labels, value);
  }
}

void single(std::string& out, std::string_view name, std::string_view type, std::string_view help,
            uint64_t value) {
  family(out, name, type, help);
  sample(out, name, {}, value);
}

std::string label(std::string_view name, std::string_view value) {
  return fmt::format("{}=\"{}\"", name, value);
}

void expose_pool(std::string& out, const pool::Pool::Counts& pool) {
  family(out, "hearth_sandboxes", "gauge", "Sandboxes by state.");
  const std::pair<const char*, uint32_t> states[] = {
      {"generic", pool.generic}, {"starting", pool.starting},   {"ready", pool.ready},
      {"running", pool.running}, {"recycling", pool.recycling}, {"stopping", pool.stopping}};
  for (auto [state, count] : states) sample(out, "hearth_sandboxes", label("state", state), count);
  single(out, "hearth_calls_waiting", "gauge", "Calls waiting for a sandbox.", pool.waiting);
  single(out, "hearth_sandbox_memory_bytes", "gauge", "Memory that living sandboxes may use.",
         pool.memory_bytes);
}

void expose_ledger(std::string& out, const ledger::Ledger& ledger) {
  single(out, "hearth_ledger_healthy", "gauge", "1 while records can be committed.",
         ledger.healthy() ? 1 : 0);
  single(out, "hearth_ledger_slots", "gauge", "Slots of the in-flight table.", ledger.slots());
  single(out, "hearth_ledger_slots_used", "gauge",
         "Slots of calls that run or wait to be committed.", ledger.slots_used());
  single(out, "hearth_ledger_slots_waiting", "gauge", "Finished calls not yet committed.",
         ledger.slots_waiting());
}

void expose_http(std::string& out, const http::Counters& http) {
  single(out, "hearth_http_connections", "gauge", "Open connections.", http.connections_open);
  single(out, "hearth_http_connections_accepted_total", "counter", "Connections accepted.",
         http.connections_accepted);
  single(out, "hearth_http_connections_refused_total", "counter", "Connections refused at the cap.",
         http.connections_refused);
  single(out, "hearth_http_accept_failures_total", "counter",
         "Failed accepts, as with no descriptor left.", http.accept_failures);
  single(out, "hearth_http_requests_total", "counter", "Requests handed to handlers.",
         http.requests);
  single(out, "hearth_http_requests_refused_total", "counter", "Requests refused before a handler.",
         http.requests_refused);
  single(out, "hearth_http_requests_cancelled_total", "counter",
         "Clients gone while a handler ran.", http.requests_cancelled);
  single(out, "hearth_http_timeouts_total", "counter", "Clients that were too slow.",
         http.timeouts);
  single(out, "hearth_http_buffered_bytes", "gauge", "Bodies and unsent answers in memory.",
         http.buffered_bytes);
}

}  // namespace

void Metrics::Histogram::add(uint64_t us) {
  auto bucket = std::lower_bound(kBounds.begin(), kBounds.end(), us) - kBounds.begin();
  ++buckets[static_cast<size_t>(bucket)];
  ++count;
  sum_us += us;
}

void Metrics::Histogram::expose(std::string& out, std::string_view name,
                                std::string_view help) const {
  family(out, name, "histogram", help);
  std::string bucket_name = fmt::format("{}_bucket", name);
  uint64_t seen = 0;
  for (size_t i = 0; i < kBounds.size(); ++i) {
    seen += buckets[i];
    sample(out, bucket_name, label("le", fmt::format("{}", static_cast<double>(kBounds[i]) / 1e6)),
           seen);
  }
  sample(out, bucket_name, label("le", "+Inf"), count);
  sample(out, fmt::format("{}_sum", name), {}, static_cast<double>(sum_us) / 1e6);
  sample(out, fmt::format("{}_count", name), {}, count);
}

void Metrics::call_finished(const ledger::Record& record) {
  ++by_outcome_[static_cast<size_t>(record.outcome)];
  ++by_start_[static_cast<size_t>(record.start)];
  ++by_trigger_[static_cast<size_t>(record.trigger)];
  run_.add(record.run_us);
  queue_.add(record.queue_us);
  in_bytes_ += record.in_bytes;
  out_bytes_ += record.out_bytes;
  log_bytes_ += record.log_bytes;
  uint64_t cpu_us = record.cpu_user_us + record.cpu_system_us;
  cpu_us_ += cpu_us;
  mb_ms_ += record.memory_mb * record.billed_ms;
  function_key_.assign(record.tenant).append("/").append(record.function);
  Totals& totals = functions_[function_key_];
  ++totals.calls;
  totals.cpu_us += cpu_us;
}

void Metrics::call_refused(std::string_view kind) {
  ++refused_[std::string(kind)];
}

Metrics::Totals Metrics::totals(const std::string& tenant, const std::string& function) const {
  auto found = functions_.find(fmt::format("{}/{}", tenant, function));
  return found == functions_.end() ? Totals{} : found->second;
}

std::string Metrics::expose(const Sources& sources) const {
  std::string out;
  family(out, "hearth_build_info", "gauge", "1, with the version.");
  sample(out, "hearth_build_info", label("version", kVersion), 1);
  family(out, "hearth_limits_strict", "gauge",
         "1 if the kernel enforces every limit, 0 in best-effort mode.");
  sample(out, "hearth_limits_strict", {}, sources.limits == sandbox::LimitsMode::kStrict ? 1 : 0);
  family(out, "hearth_calls_total", "counter", "Recorded calls by outcome.");
  for (size_t i = 0; i < by_outcome_.size(); ++i) {
    sample(out, "hearth_calls_total", label("outcome", ledger::name_of(ledger::Outcome(i))),
           by_outcome_[i]);
  }
  family(out, "hearth_call_starts_total", "counter",
         "Recorded calls by the state of the sandbox that they got.");
  for (size_t i = 0; i < by_start_.size(); ++i) {
    sample(out, "hearth_call_starts_total", label("start", ledger::name_of(ledger::Start(i))),
           by_start_[i]);
  }
  family(out, "hearth_call_triggers_total", "counter", "Recorded calls by trigger.");
  for (size_t i = 0; i < by_trigger_.size(); ++i) {
    sample(out, "hearth_call_triggers_total", label("trigger", ledger::name_of(ledger::Trigger(i))),
           by_trigger_[i]);
  }
  family(out, "hearth_calls_refused_total", "counter",
         "Calls refused or failed before they ran, by kind of error.");
  for (const auto& [kind, count] : refused_)
    sample(out, "hearth_calls_refused_total", label("kind", kind), count);
  run_.expose(out, "hearth_call_run_seconds", "Time in the function.");
  queue_.expose(out, "hearth_call_queue_seconds", "Time waiting for a sandbox.");
  single(out, "hearth_call_in_bytes_total", "counter", "Bytes of events.", in_bytes_);
  single(out, "hearth_call_out_bytes_total", "counter", "Bytes of answers.", out_bytes_);
  single(out, "hearth_call_log_bytes_total", "counter",
         "Bytes that functions printed, kept or not.", log_bytes_);
  single(out, "hearth_call_cpu_microseconds_total", "counter", "CPU time of calls.", cpu_us_);
  single(out, "hearth_call_gb_milliseconds_total", "counter", "Billed memory times time.",
         ledger::gb_ms_of(mb_ms_));
  expose_pool(out, sources.pool);
  expose_ledger(out, sources.ledger);
  expose_http(out, sources.http);
  single(out, "hearth_log_dropped_bytes_total", "counter", "Log bytes beyond a call's bound.",
         sources.logs.dropped_bytes());
  single(out, "hearth_log_lost_bytes_total", "counter", "Log bytes that the disk refused.",
         sources.logs.lost_bytes());
  expose_process(out);
  return out;
}

}  // namespace hearth::daemon
