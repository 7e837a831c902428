// SPDX-License-Identifier: Apache-2.0
// One call, in order. Read this first.
#include "daemon/invocation.h"

#include <fmt/format.h>
#include <sys/wait.h>

#include <algorithm>
#include <new>

#include "daemon/call_errors.h"
#include "daemon/call_meter.h"
#include "daemon/runtime.h"
#include "sandbox/frame.h"
#include "sandbox/sys/fail_point.h"

namespace hearth::daemon {
using ledger::Outcome;
using loop::Task;
using registry::Version;
namespace {

std::string meta_of(const Call& call, const std::string& deadline_ms) {
  using sandbox::frame::append_meta;
  constexpr size_t kOurBytes = 96;
  std::string meta;
  meta.reserve(kOurBytes + call.meta.size());
  append_meta(meta, "request_id", call.id.characters());
  append_meta(meta, "deadline_ms", deadline_ms);
  meta += call.meta;
  return meta;
}

// When the call is killed, in Unix milliseconds. It counts from the dispatch: waiting for a sandbox
// is bounded by the pool.
std::string deadline_of(const Version& version) {
  return fmt::format_int(unix_microseconds() / 1000 + version.manifest.timeout_ms).str();
}

CallInput input_of(const Call& call, const Version& version, const std::string& meta,
                   const std::string& deadline_ms) {
  static uint64_t number = 0;
  CallInput input;
  input.number = ++number;
  input.meta = meta;
  input.body = call.body;
  input.start_on_arrival = version.manifest.exec_http_env;
  if (input.start_on_arrival) {
    if (call.environment) input.raw_env = call.environment();
    input.raw_env.push_back("HEARTH_REQUEST_ID=" + call.id.text());
    input.raw_env.push_back("HEARTH_DEADLINE_MS=" + deadline_ms);
  }
  input.last = version.manifest.reuse != registry::Reuse::kProcess;
  input.deadline = Clock::now() + std::chrono::milliseconds(version.manifest.timeout_ms);
  input.output_bytes_max = uint64_t{version.manifest.output_kb} << 10;
  input.budget.cpu_us = uint64_t{version.manifest.cpu_ms} * 1000;
  input.budget.memory_bytes = uint64_t{version.manifest.memory_mb} << 20;
  input.budget.processes = version.manifest.processes_max;
  return input;
}

// Could the sandbox serve again? Only when its process answered in turn.
bool is_clean(const CallOutput& output, const Version& version) {
  if (output.end == End::kReplied || output.end == End::kError) return true;
  bool raw = !is_framed(version.manifest.runtime);
  return raw && output.end == End::kExited &&
         WIFEXITED(output.wait_status);  // a program's way to say "error"
}

// A sandbox of the live version. A deploy may replace that one while the call waits; then the new
// one takes it.
Task<std::variant<Lease, Refused>> lease_live(Services& services, const Call& call,
                                              std::shared_ptr<const Version>& version) {
  constexpr int kReplacedMax = 8;
  for (int replaced = 0;; ++replaced) {
    std::variant<Lease, Refused> leased = co_await services.fleet.lease(version);
    auto* refusal = std::get_if<Refused>(&leased);
    if (refusal == nullptr || refusal->why != pool::Refusal::kFunctionGone) co_return leased;
    auto live = services.registry.find(call.tenant, call.function);
    if (!live || replaced == kReplacedMax || check_request(*live, call)) co_return leased;
    version = std::move(live);
  }
}

struct Ended {
  Answer answer;
  std::shared_ptr<loop::Event> on_disk;  // the record of it, when that is to be waited for
};

// From dispatch to record. It may outlive its client: what `call` borrows of the request is used
// before the first wait, but for the body, which the worker lets go of when it is abandoned.
Task<Ended> run(Services& services, Call call, std::shared_ptr<const Version> version,
                Lease lease) {
  Worker& worker = lease.worker();
  // From here on the call has a record, whatever happens: the meter finishes it even if this task
  // is destroyed.
  Meter meter(services, call, *version, lease);
  if (!meter.claimed()) {
    lease.keep();
    co_return Ended{refused(services, ledger_full(services)), nullptr};
  }
  sys::fail_point("call.claimed");
  std::string deadline_ms = deadline_of(*version);
  std::string meta = meta_of(call, deadline_ms);
  CallInput input = input_of(call, *version, meta, deadline_ms);
  CallOutput output = co_await worker.call(std::move(input));
  meter.run_ended();
  sys::fail_point("call.ended");

  Outcome outcome = co_await diagnose(services, worker, *version, output);
  if (worker.abandoned()) outcome = Outcome::kCancelled;
  if (is_clean(output, *version)) {
    lease.keep();
  } else {
    // Nothing survives the answer: every process of the call is gone before it leaves.
    worker.kill();
    co_await worker.gone();
  }
  sys::fail_point("call.diagnosed");
  Answer answer;
  answer.record = meter.finish(outcome, output.body.size());
  if (outcome != Outcome::kOk) answer.error = call_error(outcome, output, *version, services);
  answer.meta = std::move(output.meta);
  answer.body = std::move(output.body);
  co_return Ended{std::move(answer), meter.on_disk()};
}

Task<void> see_out(Task<Ended> work) {
  co_await work.end();
  (void)work.take();
}

// A running call while its client waits. Destroyed before the call's end, it lets processes that
// could serve again end it by themselves: to kill them costs more, namely their start, and clients
// that come and go would have everybody wait for new ones. Longer than that start took it is not
// worth waiting.
class Attended {
 public:
  Attended(Services& services, Task<Ended> work, Worker& worker, Clock::duration grace)
      : services_(services), work_(std::move(work)), worker_(worker), grace_(grace) {}
  ~Attended() {
    if (work_.done() || grace_ == Clock::duration{}) return;
    try {
      worker_.abandon(Clock::now() + grace_);
      services_.unattended.add(see_out(std::move(work_)));
    } catch (const std::bad_alloc&) {
      // Then it is destroyed here, and the call killed.
    }
  }
  Attended(const Attended&) = delete;
  Attended& operator=(const Attended&) = delete;

  Task<Ended>& work() { return work_; }

 private:
  Services& services_;
  Task<Ended> work_;
  Worker& worker_;
  Clock::duration grace_;
};

Clock::duration grace_of(const Version& version, const Lease& lease) {
  constexpr std::chrono::milliseconds kMin{100}, kMax{1000};
  const registry::Manifest& manifest = version.manifest;
  bool serves_again = manifest.reuse != registry::Reuse::kNever && !manifest.exec_http_env;
  if (!serves_again) return {};
  return std::clamp<Clock::duration>(std::chrono::microseconds(lease.init_us()), kMin, kMax);
}

}  // namespace

Task<Answer> invoke(Services& services, Call call) {
  std::shared_ptr<const Version> version = services.registry.find(call.tenant, call.function);
  if (!version) co_return refused(services, not_found(services.registry, call));
  if (auto error = check_request(*version, call)) co_return refused(services, std::move(*error));
  if (!services.ledger.healthy()) co_return refused(services, ledger_full(services));
  sys::fail_point("call.admitted");

  std::variant<Lease, Refused> leased = co_await lease_live(services, call, version);
  if (auto* refusal = std::get_if<Refused>(&leased)) {
    co_return not_leased(services, call, *version, std::move(*refusal));
  }
  Lease lease = std::move(std::get<Lease>(leased));
  sys::fail_point("call.leased");
  Worker& worker = lease.worker();
  Clock::duration grace = grace_of(*version, lease);
  Attended attended(services, run(services, std::move(call), std::move(version), std::move(lease)),
                    worker, grace);
  Ended ended = co_await attended.work();
  if (ended.on_disk && !ended.on_disk->is_set()) co_await ended.on_disk->wait();
  sys::fail_point("call.recorded");
  co_return std::move(ended.answer);
}

}  // namespace hearth::daemon
