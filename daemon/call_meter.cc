// SPDX-License-Identifier: Apache-2.0
#include "daemon/call_meter.h"

#include <algorithm>
#include <cstring>

namespace hearth::daemon {
using ledger::Outcome;
using ledger::Record;
namespace {

uint64_t microseconds(Clock::duration duration) {
  return static_cast<uint64_t>(std::max<int64_t>(
      0, std::chrono::duration_cast<std::chrono::microseconds>(duration).count()));
}

void copy_name(char (&target)[64], const std::string& name) {
  std::memcpy(target, name.data(), std::min(name.size(), sizeof target - 1));
}

}  // namespace

uint64_t unix_microseconds() {
  auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(now).count());
}

Meter::Meter(Services& services, const Call& call, const registry::Version& version, Lease& lease)
    : services_(services),
      version_(version),
      worker_(lease.worker()),
      call_(call.id),
      received_(call.received),
      dispatched_(Clock::now()),
      log_bytes_max_(uint64_t{version.manifest.log_kb} << 10),
      base_(worker_.cpu_at_dispatch(dispatched_)) {
  Record record;
  record.id = call.id;
  copy_name(record.tenant, call.tenant);
  copy_name(record.function, call.function);
  record.version = version.number;
  record.trigger = call.trigger;
  record.start = ledger::Start(int(lease.start()));
  record.limits_best_effort = services.limits == sandbox::LimitsMode::kBestEffort;
  record.received_at_us = call.received_at_us;
  uint64_t waited_us = microseconds(dispatched_ - received_);
  bool waited_for_start = lease.start() != pool::Start::kWarm;
  record.init_us = waited_for_start ? std::min(lease.init_us(), waited_us) : 0;
  record.queue_us = waited_us - record.init_us;
  record.memory_mb = version.manifest.memory_mb;
  record.in_bytes = call.body.size();
  record.sandbox = worker_.id();
  record.cpu_user_base_us = base_.user_us;
  record.cpu_system_base_us = base_.system_us;
  slot_ = services.ledger.claim(record);
  if (slot_ == nullptr) return;

  worker_.begin_counters(base_);
  worker_.set_slot(slot_);
  worker_.set_log(
      [this](LogStream stream, std::string_view bytes) {
        services_.logs.append(version_.tenant, version_.manifest.name, call_,
                              ledger::Stream(int(stream)), bytes, log_bytes_max_);
      },
      services.log_bytes_kill);
}

Meter::~Meter() {
  if (slot_ == nullptr || finished_) return;
  worker_.kill();
  (void)finish(Outcome::kCancelled, 0);
}

void Meter::run_ended() {
  ended_ = Clock::now();
}

void Meter::read_counters(Record& record) {
  CpuCounters cpu = worker_.cpu_now();
  // A sandbox whose cgroup is gone reads as zero: keep what was there rather than wrap around.
  record.cpu_user_us = std::max(cpu.user_us, base_.user_us) - base_.user_us;
  record.cpu_system_us = std::max(cpu.system_us, base_.system_us) - base_.system_us;
  record.throttled_us = std::max(cpu.throttled_us, base_.throttled_us) - base_.throttled_us;
  auto [bytes, source] = worker_.memory_peak();
  record.memory_peak_bytes = bytes;
  record.memory_source = source;
}

Record Meter::finish(Outcome outcome, uint64_t out_bytes) {
  finished_ = true;
  if (ended_ == Clock::time_point{}) ended_ = Clock::now();
  // A process that serves on wrote its log before its answer, and the loop read it in that order;
  // one that is done may have left its last lines in the pipes.
  if (version_.manifest.reuse != registry::Reuse::kProcess || outcome != Outcome::kOk)
    worker_.drain_logs();

  Record& record = services_.ledger.record(slot_);
  record.outcome = outcome;
  record.run_us = microseconds(ended_ - dispatched_);
  record.total_us = microseconds(Clock::now() - received_);
  record.out_bytes = out_bytes;
  record.log_bytes = worker_.log_bytes();
  read_counters(record);
  bill(record);
  Record copy = record;
  if (services_.durability == ledger::Durability::kHost) {
    on_disk_ = std::make_shared<loop::Event>(services_.loop);
    services_.ledger.when_committed(slot_, [event = on_disk_] { event->set(); });
  }
  worker_.set_slot(nullptr);
  services_.ledger.finish(slot_);
  if (copy.log_bytes != 0) services_.logs.end_call(copy.tenant, copy.function, call_);
  worker_.set_log(nullptr, 0);
  services_.metrics.call_finished(copy);
  return copy;
}

}  // namespace hearth::daemon
