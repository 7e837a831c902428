// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/ledger/record.h"

// Exactly one record per call, also across SIGKILL. A call takes a slot of the in-flight table (a file mapped shared)
// when it is dispatched and fills it before its answer leaves; a thread moves filled slots into SQLite in groups and frees
// them. The hot path makes no system call.
namespace hearth::ledger {

enum class Durability { kProcess, kHost };  // kHost: commits are synced to disk before `committed`

class Slot;  // one place in the table; a claimed slot is either finished or dropped

struct Query { std::string tenant, function, outcome; uint64_t since_us = 0, until_us = 0; uint32_t limit = 100; };
struct Usage {
  std::string tenant, function, day;  // day: YYYY-MM-DD, UTC
  uint64_t calls = 0, billed_ms = 0, gb_ms = 0, cpu_us = 0, in_bytes = 0, out_bytes = 0;
  std::vector<std::pair<std::string, uint64_t>> by_outcome;  // errors by kind
};

class Ledger {
 public:
  struct Options {
    std::string database_path, table_path;
    Durability durability = Durability::kProcess;
    uint32_t slots = 8192;
    uint32_t keep_days = 0;  // older records are deleted; 0: kept for ever. Usage rows stay.
  };
  // Opens both files. Slots found filled go to the database; slots found running are left to `recover`. Throws sys::Error
  // (also for a damaged database: says which file and what to do). No thread yet.
  explicit Ledger(Options options);
  ~Ledger();  // stops the thread after the last filled slot is committed

  // Calls that a dead hearthd left running. `read_counters` fills cpu, memory and times from what still exists; each then
  // becomes a record with outcome interrupted. Returns how many. Before start().
  size_t recover(const std::function<void(Record&)>& read_counters);
  void start();

  // Hot path, loop thread only, no system call. nullptr: all slots are taken (the disk is full or too slow).
  Slot* claim(const Record& identity);
  Record& record(Slot* slot);
  void finish(Slot* slot);  // from here on the record survives SIGKILL; the slot is the thread's
  void drop(Slot* slot);    // the call never reached a sandbox: no record

  // kHost: calls `done` once this slot's record is on disk (from poll()). kProcess: `done` is called at once by finish.
  void when_committed(Slot* slot, std::function<void()> done);
  int notify_fd() const;    // readable: call poll() on the loop thread
  void poll();

  bool healthy() const;        // false after a failed commit (disk full, I/O error), true again after a good one
  std::string error() const;   // of the last failed commit

  // Any thread; each opens its own read transaction. Records not yet in the database are included (flush first).
  std::vector<Record> calls(const Query& query);
  std::optional<Record> call(const Ulid& id);
  std::vector<Usage> usage(const Query& query);
  void flush();                // waits until every slot finished before now is committed or failed

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace hearth::ledger
