// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "daemon/ledger/record.h"

// Exactly one record per call, also across SIGKILL. A call takes a slot of the in-flight table (a
// file mapped shared) when it is dispatched and fills it before its answer leaves; a thread moves
// filled slots into SQLite in groups and frees them. The hot path makes no system call.
namespace hearth::ledger {

enum class Durability { kProcess, kHost };  // kHost: commits are synced to disk before `committed`

class Slot;  // one place in the table; a claimed slot is either finished or dropped

struct Query {
  std::string tenant, function, outcome;  // empty: all
  uint64_t since_us = 0,
           until_us = 0;  // received in [since, until); 0: no bound. For usage: whole days
  uint32_t limit = 100;   // calls: at most 10,000. Not for usage, which has 100,000 rows at most
};

struct Usage {
  std::string tenant, function, day;  // day: YYYY-MM-DD, UTC
  uint64_t calls = 0, billed_ms = 0, cpu_us = 0, in_bytes = 0, out_bytes = 0;
  uint64_t mb_ms = 0;                                        // memory_mb * billed_ms of each call
  uint64_t gb_ms = 0;                                        // of that sum, rounded up once
  std::vector<std::pair<std::string, uint64_t>> by_outcome;  // all but ok
};

class Ledger {
 public:
  struct Options {
    std::string database_path, table_path;
    Durability durability = Durability::kProcess;
    uint32_t slots = 32768;
    uint32_t keep_days = 0;  // older records are deleted; 0: kept for ever. Usage rows stay.
  };
  // Opens both files. Slots found filled go to the database (with a full disk: later); slots found
  // running are left to `recover`. Throws sys::Error (also for a damaged file: says which one and
  // what to do). No thread yet.
  explicit Ledger(Options options);
  ~Ledger();  // stops the thread after the last filled slot is committed; what the disk refuses
              // waits in the table

  // What the table of a dead hearthd held. Damaged slots name no call any more; they are kept in
  // TABLE.damaged.
  struct Found {
    size_t filled = 0, running = 0, damaged = 0;
  };
  const Found& found() const;

  // Calls that a dead hearthd left running. They have the CPU time that was seen while they ran;
  // `read_counters` fills cpu, memory and times from what
  // still exists (it is not called when the host was started anew since: then nothing does); each
  // then becomes a record with outcome interrupted, billed by what is filled in. Returns how many.
  // Before start().
  size_t recover(const std::function<void(Record&)>& read_counters);
  void start();

  // Hot path, loop thread only, no system call. nullptr: all slots are taken (the disk is full or
  // too slow).
  Slot* claim(const Record& identity);
  Record& record(Slot* slot);
  void finish(Slot* slot);  // from here on the record survives SIGKILL; the slot is the thread's
  void drop(Slot* slot);    // the call never reached a sandbox: no record

  // Before finish(). kHost: calls `done` once this slot's record is on disk (from poll());
  // kProcess: finish calls it.
  void when_committed(Slot* slot, std::function<void()> done);
  int notify_fd() const;  // readable: call poll() on the loop thread
  void poll();

  bool healthy()
      const;  // false after a failed commit (disk full, I/O error), true again after a good one
  std::string error() const;       // of the last failed commit
  uint32_t slots() const;          // of the table
  uint32_t slots_used() const;     // claimed and not free again; loop thread
  uint64_t slots_waiting() const;  // finished and not yet committed; any thread

  // Any thread. Records not yet in the database are committed first; while healthy() is false they
  // are missing. Throws sys::Error.
  std::vector<Record> calls(const Query& query);  // newest first
  std::optional<Record> call(const Ulid& id);
  std::vector<Usage> usage(const Query& query);  // by tenant, function, day
  void flush();  // waits until every slot finished before now is committed or failed

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace hearth::ledger
