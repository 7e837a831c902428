// SPDX-License-Identifier: Apache-2.0
#include "daemon/ledger/ledger.h"

#include <unistd.h>

#include <algorithm>
#include <mutex>

#include "daemon/ledger/calls_db.h"
#include "daemon/ledger/committer.h"
#include "daemon/ledger/inflight_table.h"
#include "sandbox/sys/error.h"

namespace hearth::ledger {
namespace {

// The CPU time that was seen in time. When the call ended is unknown; that it ran is charged by it,
// the least that it can have taken.
void take_seen(Record& record, const Slot& slot) {
  uint64_t user_us = slot.seen_cpu_user_us.load(std::memory_order_relaxed);
  uint64_t system_us = slot.seen_cpu_system_us.load(std::memory_order_relaxed);
  if (user_us + system_us == 0) return;  // it ended before the watch first looked
  record.cpu_user_us = std::max(user_us, record.cpu_user_base_us) - record.cpu_user_base_us;
  record.cpu_system_us = std::max(system_us, record.cpu_system_base_us) - record.cpu_system_base_us;
  record.run_us = record.cpu_user_us + record.cpu_system_us;
  record.total_us = record.queue_us + record.init_us + record.run_us;
}

}  // namespace

struct Ledger::State {
  explicit State(const Options& o)
      : durability(o.durability),
        table(o.table_path, o.slots),
        committer(table, o),
        reader(o.database_path, o.durability),
        when_committed(table.size()) {}

  // Takes back the slots that the thread has freed.
  void harvest() {
    uint32_t index = 0;
    while (committer.take_released(&index)) {
      free.push_back(index);
      if (!when_committed[index]) continue;
      done.push_back(std::move(when_committed[index]));
      when_committed[index] = nullptr;
    }
  }

  const Durability durability;
  InflightTable table;
  Committer committer;  // stopped before the table goes
  std::mutex reader_mutex;
  CallsDb reader;
  Found found;
  std::vector<uint32_t> free;     // the last one freed is claimed first: its page is in use already
  std::vector<uint32_t> running;  // left by a dead hearthd, until recover()
  std::vector<std::function<void()>> when_committed;  // by slot
  std::vector<std::function<void()>> done;            // committed, called by poll()
};

Ledger::Ledger(Options options) : state_(std::make_unique<State>(options)) {
  State& s = *state_;
  std::vector<uint32_t> occupied = s.table.occupied();
  for (uint32_t i = s.table.size(), taken = static_cast<uint32_t>(occupied.size()); i > 0; i--) {
    if (taken > 0 && occupied[taken - 1] == i - 1) {
      taken--;
    } else {
      s.free.push_back(i - 1);
    }
  }
  for (uint32_t index : occupied) {
    switch (InflightTable::inspect(s.table.slot(index))) {
      case InflightTable::Content::kFinished:
        s.found.filled++;
        s.committer.submit(index);
        break;
      case InflightTable::Content::kRunning:
        s.found.running++;
        s.running.push_back(index);
        break;
      case InflightTable::Content::kDamaged:
        s.found.damaged++;
        s.table.set_aside(s.table.slot(index));
        [[fallthrough]];
      case InflightTable::Content::kFree:
        s.free.push_back(index);
        break;
    }
  }
  // A full disk is no reason not to start: the slots wait, and healthy() says so.
  (void)s.committer.commit_submitted();
}

Ledger::~Ledger() = default;

const Ledger::Found& Ledger::found() const {
  return state_->found;
}

size_t Ledger::recover(const std::function<void(Record&)>& read_counters) {
  State& s = *state_;
  for (uint32_t index : s.running) {
    Slot& slot = s.table.slot(index);
    // Not `record`: it may be half filled in.
    slot.record = slot.claimed;
    take_seen(slot.record, slot);
    if (s.table.same_boot()) read_counters(slot.record);
    slot.record.outcome = Outcome::kInterrupted;
    bill(slot.record);
    s.table.finish(slot);
    s.committer.submit(index);
  }
  size_t count = s.running.size();
  s.running.clear();
  // From here on no slot is left over from another boot.
  s.table.mark_this_boot();
  (void)s.committer.commit_submitted();
  return count;
}

void Ledger::start() {
  if (!state_->running.empty()) recover([](Record&) {});
  state_->table.mark_this_boot();
  state_->committer.start();
}

Slot* Ledger::claim(const Record& identity) {
  State& s = *state_;
  s.harvest();  // the slots that were used last are taken again: few pages are ever touched
  if (s.free.empty()) return nullptr;
  Slot& slot = s.table.slot(s.free.back());
  s.free.pop_back();
  s.table.claim(slot, identity);
  return &slot;
}

Record& Ledger::record(Slot* slot) {
  return slot->record;
}

void Ledger::finish(Slot* slot) {
  State& s = *state_;
  HEARTH_CHECK(slot->state.load(std::memory_order_relaxed) == SlotState::kRunning);
  uint32_t index = s.table.index_of(slot);
  std::function<void()> done;
  if (s.durability == Durability::kProcess) std::swap(done, s.when_committed[index]);
  s.table.finish(*slot);
  s.committer.submit(index);
  if (done) done();
}

void Ledger::drop(Slot* slot) {
  State& s = *state_;
  HEARTH_CHECK(slot->state.load(std::memory_order_relaxed) == SlotState::kRunning);
  uint32_t index = s.table.index_of(slot);
  s.when_committed[index] = nullptr;
  s.table.free(*slot);
  s.free.push_back(index);
}

void Ledger::when_committed(Slot* slot, std::function<void()> done) {
  HEARTH_CHECK(slot->state.load(std::memory_order_relaxed) == SlotState::kRunning);
  state_->when_committed[state_->table.index_of(slot)] = std::move(done);
}

int Ledger::notify_fd() const {
  return state_->committer.notify_fd();
}

void Ledger::poll() {
  State& s = *state_;
  uint64_t count = 0;
  (void)!::read(s.committer.notify_fd(), &count, sizeof(count));  // empty: nothing was committed
  s.harvest();
  // A callback may claim, finish and poll again.
  std::vector<std::function<void()>> done = std::exchange(s.done, {});
  for (auto& call : done) call();
}

bool Ledger::healthy() const {
  return state_->committer.healthy();
}
std::string Ledger::error() const {
  return state_->committer.error();
}
uint32_t Ledger::slots() const {
  return state_->table.size();
}
uint32_t Ledger::slots_used() const {
  state_->harvest();
  return state_->table.size() - static_cast<uint32_t>(state_->free.size());
}
uint64_t Ledger::slots_waiting() const {
  return state_->committer.waiting();
}

std::vector<Record> Ledger::calls(const Query& query) {
  flush();
  std::lock_guard lock(state_->reader_mutex);
  return state_->reader.calls(query);
}

std::optional<Record> Ledger::call(const Ulid& id) {
  flush();
  std::lock_guard lock(state_->reader_mutex);
  return state_->reader.call(id);
}

std::vector<Usage> Ledger::usage(const Query& query) {
  flush();
  std::lock_guard lock(state_->reader_mutex);
  return state_->reader.usage(query);
}

void Ledger::flush() {
  state_->committer.flush();
}

}  // namespace hearth::ledger
