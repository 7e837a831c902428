// SPDX-License-Identifier: Apache-2.0
#include "daemon/ledger/calls_db.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <map>
#include <tuple>

#include "daemon/ledger/call_blocks.h"
#include "daemon/ledger/call_rows.h"
#include "daemon/ledger/timestamp.h"
#include "daemon/sqlite/database.h"
#include "sandbox/sys/fail_point.h"

namespace hearth::ledger {
namespace {

const char* const kSchema[] = {kRowSchema, kSetRowsAside, CallBlocks::kSchema};

constexpr const char* kAddUsage =
    "INSERT INTO usage VALUES (?,?,?,?,?,?,?,?,?,?) "
    "ON CONFLICT (tenant, function, day, outcome) DO UPDATE SET calls = calls + excluded.calls, "
    "billed_ms = billed_ms + excluded.billed_ms, mb_ms = mb_ms + excluded.mb_ms, "
    "cpu_us = cpu_us + excluded.cpu_us, in_bytes = in_bytes + excluded.in_bytes, "
    "out_bytes = out_bytes + excluded.out_bytes";

// SQLite turns a sum that leaves 63 bits into a float, and a STRICT table then refuses it: one
// absurd number would stop the ledger. 2^47 is four years in microseconds, 128 TiB in bytes.
constexpr uint64_t kNumberMax = uint64_t{1} << 47;
uint64_t bounded(uint64_t number) {
  return std::min(number, kNumberMax);
}

// Tenant, function, the day's number, outcome; the names are the records', which outlive the sums.
using UsageKey = std::tuple<std::string_view, std::string_view, uint64_t, Outcome>;
using UsageSums = std::map<UsageKey, Usage>;

UsageKey key_of(const Record& r) {
  auto [tenant, function] = names_of(r);
  return {tenant, function, r.received_at_us / kDayUs, r.outcome};
}

void add(Usage& sum, const Record& r) {
  sum.calls++;
  sum.billed_ms += bounded(r.billed_ms);
  // Exactly: a record's gb_ms is rounded up, which for a short call can be most of it.
  uint64_t mb_ms = 0;
  if (__builtin_mul_overflow(uint64_t{r.memory_mb}, r.billed_ms, &mb_ms)) mb_ms = kNumberMax;
  sum.mb_ms += bounded(mb_ms);
  sum.cpu_us += bounded(r.cpu_user_us) + bounded(r.cpu_system_us);
  sum.in_bytes += bounded(r.in_bytes);
  sum.out_bytes += bounded(r.out_bytes);
}

// Conditions and their values, for a statement that differs by what is asked.
class Filter {
 public:
  void text(const char* condition, const std::string& value) {
    if (value.empty()) return;
    where_ += where_.empty() ? " WHERE " : " AND ";
    where_ += condition;
    values_.push_back(value);
  }
  const std::string& where() const { return where_; }
  void bind(sqlite::Statement& statement) const {
    int index = 0;
    for (const std::string& value : values_) statement.bind(++index, value);
  }

 private:
  std::string where_;
  std::vector<std::string> values_;
};

uint64_t number_in(const sqlite::Statement& row, int column) {
  return static_cast<uint64_t>(row.integer(column));
}

sqlite::Options options_of(Durability durability) {
  sqlite::Options options;
  options.sync = durability == Durability::kHost ? sqlite::Sync::kFull : sqlite::Sync::kNormal;
  return options;
}

}  // namespace

struct CallsDb::State {
  State(const std::string& path, Durability durability) : db(path, options_of(durability)) {
    // 16 MiB: a busy host writes the same pages again and again before each has to reach the file.
    db.exec("PRAGMA wal_autocheckpoint=4000");
    db.exec("PRAGMA journal_size_limit=16777216");
    db.migrate(kSchema);
    blocks.emplace(db);
    add_one.emplace(db.prepare(kAddUsage));
    move_rows(db, *blocks);
  }

  void add_usage(const UsageSums& sums) {
    for (const auto& [key, sum] : sums) {
      const auto& [tenant, function, day, outcome] = key;
      add_one->run(tenant, function, day_of(day * kDayUs), name_of(outcome), sum.calls,
                   sum.billed_ms, sum.mb_ms, sum.cpu_us, sum.in_bytes, sum.out_bytes);
    }
  }

  sqlite::Database db;
  std::optional<CallBlocks> blocks;
  std::optional<sqlite::Statement> add_one;
};

CallsDb::CallsDb(const std::string& path, Durability durability)
    : state_(std::make_unique<State>(path, durability)) {}
CallsDb::~CallsDb() = default;

void CallsDb::insert(const std::vector<const Record*>& records,
                     const std::function<void()>& between) try {
  sqlite::Transaction transaction(state_->db);
  UsageSums sums;
  for (const Record* fresh : state_->blocks->insert(records, between)) {
    add(sums[key_of(*fresh)], *fresh);
  }
  state_->add_usage(sums);
  sys::fail_point("ledger.committing");
  transaction.commit();
} catch (const sqlite::Error& error) {
  // SQLite's own text repeats the whole statement, which says nothing here.
  throw sys::Error("commit records", state_->db.path(), error.code());
}

size_t CallsDb::prune(uint64_t before_us, uint32_t at_least) {
  sqlite::Transaction transaction(state_->db);
  size_t count = state_->blocks->prune(before_us, at_least);
  transaction.commit();
  return count;
}

std::vector<Record> CallsDb::calls(const Query& query) {
  return state_->blocks->find(query, kQueryRowsMax);
}

std::optional<Record> CallsDb::call(const Ulid& id) {
  return state_->blocks->find(id);
}

std::vector<Usage> CallsDb::usage(const Query& query) {
  Filter filter;
  filter.text("tenant = ?", query.tenant);
  filter.text("function = ?", query.function);
  filter.text("outcome = ?", query.outcome);
  if (query.since_us > 0) filter.text("day >= ?", day_of(query.since_us));
  if (query.until_us > 0) filter.text("day <= ?", day_of(query.until_us - 1));
  sqlite::Statement row = state_->db.prepare(
      "SELECT tenant, function, day, outcome, calls, billed_ms, mb_ms, cpu_us, in_bytes, out_bytes "
      "FROM usage" +
      filter.where() + " ORDER BY tenant, function, day, outcome");
  filter.bind(row);
  std::vector<Usage> rows;
  while (row.step()) {
    Usage key;
    key.tenant = row.text(0);
    key.function = row.text(1);
    key.day = row.text(2);
    bool same = !rows.empty() && rows.back().tenant == key.tenant &&
                rows.back().function == key.function && rows.back().day == key.day;
    if (!same && rows.size() == kUsageRowsMax) break;
    if (!same) rows.push_back(std::move(key));
    Usage& sum = rows.back();
    sum.calls += number_in(row, 4);
    sum.billed_ms += number_in(row, 5);
    sum.mb_ms += number_in(row, 6);
    sum.gb_ms = gb_ms_of(sum.mb_ms);
    sum.cpu_us += number_in(row, 7);
    sum.in_bytes += number_in(row, 8);
    sum.out_bytes += number_in(row, 9);
    if (row.text(3) != "ok") sum.by_outcome.emplace_back(row.text(3), number_in(row, 4));
  }
  return rows;
}

}  // namespace hearth::ledger
