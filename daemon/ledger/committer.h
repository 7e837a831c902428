// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <thread>

#include "daemon/ledger/bell.h"
#include "daemon/ledger/calls_db.h"
#include "daemon/ledger/inflight_table.h"
#include "daemon/ledger/ring.h"
#include "sandbox/sys/fd.h"

namespace hearth::ledger {

// Moves finished slots of the table into the database in groups and frees them, on a thread of its
// own. A group that cannot be committed stays in the table and is tried again, later and later.
class Committer {
 public:
  Committer(InflightTable& table, const Ledger::Options& options);
  ~Committer();  // one last attempt; what the disk refuses stays in the table for the next start

  // The loop thread. No system call, except to wake the thread: at once with kHost, where a caller
  // waits for the commit, and else only when a whole group or a quarter of the table waits;
  // otherwise it comes by itself within kNapMax.
  void submit(uint32_t slot);
  bool take_released(uint32_t* slot);              // a slot that is committed and free again
  int notify_fd() const { return notify_.get(); }  // kHost: readable when there are such

  // On the caller's thread, only before start(): commits what was submitted so far. False: failed,
  // start() tries again.
  bool commit_submitted();
  void start();

  // Any thread. Returns when everything submitted before is committed, or when an attempt begun
  // after this call failed.
  void flush();
  bool healthy() const { return healthy_.load(std::memory_order_relaxed); }
  std::string error() const;
  uint64_t waiting() const {  // slots finished and not yet committed
    return submitted_.load(std::memory_order_relaxed) - committed_.load(std::memory_order_relaxed);
  }

 private:
  using Clock = std::chrono::steady_clock;
  void run();
  void collect();
  bool commit_group();
  void let_others_run() const;
  void prune_if_due();
  void succeeded(size_t count);
  void failed(const std::string& why);
  std::chrono::milliseconds pause() const;

  InflightTable& table_;
  const Durability durability_;
  const uint32_t keep_days_;
  CallsDb db_;
  Ring finished_, released_;
  sys::Fd notify_;
  Bell bell_;
  std::deque<uint32_t> pending_;  // taken from finished_, in order
  std::atomic<uint64_t> submitted_{0}, committed_{0};
  std::atomic<bool> healthy_{true}, stopping_{false}, flush_wanted_{false};

  std::chrono::milliseconds nap_{0}, back_off_{0};
  Clock::time_point prune_at_{};

  mutable std::mutex mutex_;  // guards the members below
  std::condition_variable progress_;
  uint64_t attempt_ = 0,
           failed_attempt_ = 0;  // numbers of the last attempt begun, of the last one that failed
  bool running_ = false;
  std::string error_;

  std::thread thread_;
};

}  // namespace hearth::ledger
