// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "daemon/invocation.h"

namespace hearth::daemon {

uint64_t unix_microseconds();

// A call's record from dispatch on: takes a slot of the in-flight table when made, and finishes it:
// with finish(), or, when it is destroyed before (the client went away), by killing the sandbox and
// recording the call as cancelled.
class Meter {
 public:
  Meter(Services& services, const Call& call, const registry::Version& version, Lease& lease);
  ~Meter();
  Meter(const Meter&) = delete;
  Meter& operator=(const Meter&) = delete;

  bool claimed() const { return slot_ != nullptr; }
  void run_ended();  // the clock of run_us stops
  ledger::Record finish(ledger::Outcome outcome, uint64_t out_bytes);
  // Durability "host": set when the record is on disk. Null where nobody waits for that.
  std::shared_ptr<loop::Event> on_disk() const { return on_disk_; }

 private:
  void read_counters(ledger::Record& record);

  Services& services_;
  const registry::Version& version_;
  Worker& worker_;
  ledger::Ulid call_;
  ledger::Slot* slot_ = nullptr;
  bool finished_ = false;
  Clock::time_point received_, dispatched_, ended_{};
  uint64_t log_bytes_max_;  // what is kept of the call's log
  CpuCounters base_;
  std::shared_ptr<loop::Event>
      on_disk_;  // shared with the ledger, which may outlive a cancelled call
};

}  // namespace hearth::daemon
