// SPDX-License-Identifier: Apache-2.0
#include "daemon/ledger/committer.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>

#include <algorithm>

#include "daemon/ledger/timestamp.h"
#include "sandbox/sys/error.h"
#include "sandbox/sys/fail_point.h"

namespace hearth::ledger {
namespace {

using std::chrono::milliseconds;

constexpr size_t kGroupMax = 2000;
constexpr milliseconds kNapMin{50};    // while records come: gathers a group
constexpr milliseconds kNapMax{1000};  // when none came for a while
constexpr milliseconds kBackOffMin{50}, kBackOffMax{5000};
constexpr milliseconds kPruneEvery{60'000};
constexpr uint32_t kPruneAtOnce = 1000;

}  // namespace

Committer::Committer(InflightTable& table, const Ledger::Options& options)
    : table_(table),
      durability_(options.durability),
      keep_days_(options.keep_days),
      db_(options.database_path, options.durability),
      finished_(table.size()),
      released_(table.size()),
      notify_(sys::check(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), "eventfd")) {}

Committer::~Committer() {
  stopping_ = true;
  bell_.ring();
  if (thread_.joinable()) thread_.join();
}

void Committer::submit(uint32_t slot) {
  finished_.push(slot);
  uint64_t submitted = submitted_.load(std::memory_order_relaxed) + 1;
  submitted_.store(submitted, std::memory_order_release);
  uint64_t waiting = submitted - committed_.load(std::memory_order_relaxed);
  bool many = waiting >= std::min<uint64_t>(kGroupMax, table_.size() / 4);
  // While the disk refuses, calls that end must not turn the back-off into a busy loop.
  if (healthy() && (many || durability_ == Durability::kHost)) bell_.ring();
}

bool Committer::take_released(uint32_t* slot) {
  return released_.pop(slot);
}

bool Committer::commit_submitted() {
  HEARTH_CHECK(!thread_.joinable());
  collect();
  while (!pending_.empty()) {
    if (!commit_group()) return false;
  }
  return true;
}

void Committer::start() {
  HEARTH_CHECK(!thread_.joinable());
  {
    std::lock_guard lock(mutex_);
    running_ = true;
  }
  // Signals are the loop's.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void Committer::flush() {
  std::unique_lock lock(mutex_);
  uint64_t wanted = submitted_.load(std::memory_order_acquire);
  uint64_t begun = attempt_;
  flush_wanted_ = true;
  bell_.ring();
  progress_.wait(lock, [&] {
    return !running_ || committed_.load(std::memory_order_acquire) >= wanted ||
           failed_attempt_ > begun;
  });
}

std::string Committer::error() const {
  std::lock_guard lock(mutex_);
  return error_;
}

void Committer::run() {
  ::pthread_setname_np(::pthread_self(), "ledger");
  for (;;) {
    bool last = stopping_.load();
    flush_wanted_ = false;
    collect();
    bool good = pending_.empty() || commit_group();
    if (last && (!good || pending_.empty())) break;
    if (good) prune_if_due();
    milliseconds time = pause();
    if (time > milliseconds(0) && !flush_wanted_ && !stopping_) bell_.wait(time);
  }
  std::lock_guard lock(mutex_);
  running_ = false;
  progress_.notify_all();
}

void Committer::collect() {
  size_t before = pending_.size();
  uint32_t slot = 0;
  while (finished_.pop(&slot)) pending_.push_back(slot);
  bool idle = pending_.size() == before;
  nap_ = idle ? std::clamp(nap_ * 2, kNapMin, kNapMax) : kNapMin;
}

bool Committer::commit_group() {
  {
    std::lock_guard lock(mutex_);
    attempt_++;
  }
  size_t count = std::min(pending_.size(), kGroupMax);
  std::vector<const Record*> records;
  records.reserve(count);
  for (size_t i = 0; i < count; i++) records.push_back(&table_.slot(pending_[i]).record);
  sys::fail_point("ledger.gathered");
  try {
    db_.insert(records, [this] { let_others_run(); });
  } catch (const std::exception& error) {
    failed(error.what());
    return false;
  }
  sys::fail_point("ledger.inserted");
  // Killed here, the records are in the database and in the table; the next start inserts them
  // again, to no effect.
  for (size_t i = 0; i < count; i++) {
    table_.free(table_.slot(pending_.front()));
    released_.push(pending_.front());
    pending_.pop_front();
  }
  sys::fail_point("ledger.freed");
  succeeded(count);
  return true;
}

// Whoever answers a call goes first: a group takes milliseconds, and on a busy processor a call
// would wait for all of them. Not while somebody waits for the commit, nor when it falls behind.
void Committer::let_others_run() const {
  bool urgent = durability_ == Durability::kHost || flush_wanted_ || stopping_;
  if (!urgent && waiting() < table_.size() / 8) ::sched_yield();
}

void Committer::succeeded(size_t count) {
  if (durability_ == Durability::kHost) {
    uint64_t one = 1;
    // Fails only when the counter is full, and then the descriptor is readable anyway.
    (void)!::write(notify_.get(), &one, sizeof(one));
  }
  back_off_ = milliseconds(0);
  healthy_ = true;
  std::lock_guard lock(mutex_);
  committed_.fetch_add(count, std::memory_order_release);
  progress_.notify_all();
}

void Committer::failed(const std::string& why) {
  back_off_ = std::clamp(back_off_ * 2, kBackOffMin, kBackOffMax);
  healthy_ = false;
  std::lock_guard lock(mutex_);
  error_ = why;
  failed_attempt_ = attempt_;
  progress_.notify_all();
}

// How long until the next round, unless somebody rings.
milliseconds Committer::pause() const {
  if (!healthy_) return back_off_;
  if (!pending_.empty()) return milliseconds(0);
  return nap_;
}

void Committer::prune_if_due() {
  if (keep_days_ == 0 || Clock::now() < prune_at_) return;
  uint64_t now = now_us(), kept_us = keep_days_ * kDayUs;
  try {
    size_t gone = now > kept_us ? db_.prune(now - kept_us, kPruneAtOnce) : 0;
    // Small batches with commits in between, so that records never wait for a long deletion.
    if (gone < kPruneAtOnce) prune_at_ = Clock::now() + kPruneEvery;
  } catch (const std::exception&) {
    // A full disk shows in the commits; deleting is not urgent.
    prune_at_ = Clock::now() + kPruneEvery;
  }
}

}  // namespace hearth::ledger
