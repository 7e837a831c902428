// SPDX-License-Identifier: Apache-2.0
#include "daemon/ledger/calls_db.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <map>
#include <tuple>

#include "daemon/ledger/timestamp.h"
#include "daemon/sqlite/database.h"
#include "sandbox/sys/fail_point.h"

namespace hearth::ledger {
namespace {

// Words instead of numbers for what is a list of cases: whoever opens the file with sqlite3 can
// read it. Ids are text, which sorts by time. The second index serves a tenant's calls over all
// functions.
constexpr const char* kSchema[] = {R"sql(
CREATE TABLE calls (
  id TEXT NOT NULL PRIMARY KEY,
  tenant TEXT NOT NULL, function TEXT NOT NULL, version INTEGER NOT NULL,
  trigger TEXT NOT NULL, outcome TEXT NOT NULL, start TEXT NOT NULL,
  received_at_us INTEGER NOT NULL,
  queue_us INTEGER NOT NULL, init_us INTEGER NOT NULL,
  run_us INTEGER NOT NULL, total_us INTEGER NOT NULL,
  billed_ms INTEGER NOT NULL, gb_ms INTEGER NOT NULL,
  memory_mb INTEGER NOT NULL, memory_peak_bytes INTEGER NOT NULL,
  memory_peak_source TEXT NOT NULL,
  cpu_user_us INTEGER NOT NULL, cpu_system_us INTEGER NOT NULL, throttled_us INTEGER NOT NULL,
  in_bytes INTEGER NOT NULL, out_bytes INTEGER NOT NULL, log_bytes INTEGER NOT NULL,
  limits_best_effort INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX calls_of_function ON calls (tenant, function, id);
CREATE INDEX calls_of_tenant ON calls (tenant, id);
CREATE TABLE usage (
  tenant TEXT NOT NULL, function TEXT NOT NULL, day TEXT NOT NULL, outcome TEXT NOT NULL,
  calls INTEGER NOT NULL, billed_ms INTEGER NOT NULL, mb_ms INTEGER NOT NULL,
  cpu_us INTEGER NOT NULL, in_bytes INTEGER NOT NULL, out_bytes INTEGER NOT NULL,
  PRIMARY KEY (tenant, function, day, outcome)
) STRICT, WITHOUT ROWID;
)sql"};

// In the order of the table's columns, which column_in() and insert() follow.
constexpr const char* kSelect =
    "SELECT id, tenant, function, version, trigger, outcome, start, received_at_us, queue_us, "
    "init_us, run_us, total_us, billed_ms, gb_ms, memory_mb, memory_peak_bytes, "
    "memory_peak_source, cpu_user_us, cpu_system_us, throttled_us, in_bytes, out_bytes, "
    "log_bytes, limits_best_effort FROM calls";
constexpr const char* kInsert =
    "INSERT INTO calls VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) "
    "ON CONFLICT (id) DO NOTHING";
constexpr const char* kAddUsage =
    "INSERT INTO usage VALUES (?,?,?,?,?,?,?,?,?,?) "
    "ON CONFLICT (tenant, function, day, outcome) DO UPDATE SET calls = calls + excluded.calls, "
    "billed_ms = billed_ms + excluded.billed_ms, mb_ms = mb_ms + excluded.mb_ms, "
    "cpu_us = cpu_us + excluded.cpu_us, in_bytes = in_bytes + excluded.in_bytes, "
    "out_bytes = out_bytes + excluded.out_bytes";
constexpr const char* kPrune =
    "DELETE FROM calls WHERE id IN (SELECT id FROM calls WHERE id < ? ORDER BY id LIMIT ?)";

// SQLite turns a sum that leaves 63 bits into a float, and a STRICT table then refuses it: one
// absurd number would stop the ledger. 2^47 is four years in microseconds, 128 TiB in bytes.
constexpr uint64_t kNumberMax = uint64_t{1} << 47;

// A record as it goes into the table, also into the sums.
Record bounded(Record r) {
  for (uint64_t* number : {&r.queue_us, &r.init_us, &r.run_us, &r.total_us, &r.billed_ms, &r.gb_ms,
                           &r.memory_peak_bytes, &r.cpu_user_us, &r.cpu_system_us, &r.throttled_us,
                           &r.in_bytes, &r.out_bytes, &r.log_bytes}) {
    *number = std::min(*number, kNumberMax);
  }
  constexpr uint64_t kSigned = std::numeric_limits<int64_t>::max();
  r.received_at_us = std::min(r.received_at_us, kSigned);
  return r;
}

std::string_view text_of(const char (&field)[64]) {
  return {field, ::strnlen(field, 64)};
}

void put_text(char (&field)[64], const std::string& text) {
  std::memcpy(field, text.data(), std::min(text.size(), sizeof(field) - 1));
}

// Tenant, function, the day's number, outcome; the names are the records', which outlive the sums.
using UsageKey = std::tuple<std::string_view, std::string_view, uint64_t, Outcome>;
using UsageSums = std::map<UsageKey, Usage>;

UsageKey key_of(const Record& r) {
  return {text_of(r.tenant), text_of(r.function), r.received_at_us / kDayUs, r.outcome};
}

void add(Usage& sum, const Record& r) {
  sum.calls++;
  sum.billed_ms += r.billed_ms;
  // Exactly: a record's gb_ms is rounded up, which for a short call can be most of it.
  uint64_t mb_ms = 0;
  if (__builtin_mul_overflow(uint64_t{r.memory_mb}, r.billed_ms, &mb_ms)) mb_ms = kNumberMax;
  sum.mb_ms += std::min(mb_ms, kNumberMax);
  sum.cpu_us += r.cpu_user_us + r.cpu_system_us;
  sum.in_bytes += r.in_bytes;
  sum.out_bytes += r.out_bytes;
}

uint64_t number_in(const sqlite::Statement& row, int column) {
  return static_cast<uint64_t>(row.integer(column));
}

// An unknown word (a newer Hearth's) leaves the field at its default.
template <typename Enum>
void name_in(const sqlite::Statement& row, int column, Enum* out) {
  (void)parse_name(row.text(column), out);
}

Record record_in(const sqlite::Statement& row) {
  Record r;
  (void)Ulid::parse(row.text(0), &r.id);
  put_text(r.tenant, row.text(1));
  put_text(r.function, row.text(2));
  r.version = static_cast<uint32_t>(row.integer(3));
  name_in(row, 4, &r.trigger);
  name_in(row, 5, &r.outcome);
  name_in(row, 6, &r.start);
  int column = 7;
  for (uint64_t* number : {&r.received_at_us, &r.queue_us, &r.init_us, &r.run_us, &r.total_us,
                           &r.billed_ms, &r.gb_ms}) {
    *number = number_in(row, column++);
  }
  r.memory_mb = static_cast<uint32_t>(row.integer(14));
  r.memory_peak_bytes = number_in(row, 15);
  name_in(row, 16, &r.memory_source);
  column = 17;
  for (uint64_t* number : {&r.cpu_user_us, &r.cpu_system_us, &r.throttled_us, &r.in_bytes,
                           &r.out_bytes, &r.log_bytes}) {
    *number = number_in(row, column++);
  }
  r.limits_best_effort = row.integer(23) != 0;
  return r;
}

// Conditions and their values, for a statement that differs by what is asked.
class Filter {
 public:
  void text(const char* condition, const std::string& value) {
    if (value.empty()) return;
    add(condition);
    values_.push_back(value);
  }
  void number(const char* condition, uint64_t value) {
    add(condition);
    values_.push_back(std::to_string(value));
  }
  const std::string& where() const { return where_; }
  void bind(sqlite::Statement& statement) const {
    int index = 0;
    for (const std::string& value : values_) statement.bind(++index, value);
  }

 private:
  void add(const char* condition) {
    where_ += where_.empty() ? " WHERE " : " AND ";
    where_ += condition;
  }
  std::string where_;
  std::vector<std::string> values_;
};

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
    statements.emplace(Statements{db.prepare(kInsert), db.prepare(kAddUsage), db.prepare(kPrune)});
  }

  void add_usage(const UsageSums& sums) {
    for (const auto& [key, sum] : sums) {
      const auto& [tenant, function, day, outcome] = key;
      statements->add_usage.run(tenant, function, day_of(day * kDayUs), name_of(outcome), sum.calls,
                                sum.billed_ms, sum.mb_ms, sum.cpu_us, sum.in_bytes, sum.out_bytes);
    }
  }

  struct Statements {
    sqlite::Statement insert, add_usage, prune;
  };
  sqlite::Database db;
  std::optional<Statements> statements;
};

CallsDb::CallsDb(const std::string& path, Durability durability)
    : state_(std::make_unique<State>(path, durability)) {}
CallsDb::~CallsDb() = default;

void CallsDb::insert(const std::vector<const Record*>& records,
                     const std::function<void()>& between) try {
  sqlite::Transaction transaction(state_->db);
  sqlite::Statement& statement = state_->statements->insert;
  UsageSums sums;
  for (const Record* record : records) {
    Record r = bounded(*record);
    statement.run(r.id.characters(), text_of(r.tenant), text_of(r.function), r.version,
                  name_of(r.trigger), name_of(r.outcome), name_of(r.start), r.received_at_us,
                  r.queue_us, r.init_us, r.run_us, r.total_us, r.billed_ms, r.gb_ms, r.memory_mb,
                  r.memory_peak_bytes, name_of(r.memory_source), r.cpu_user_us, r.cpu_system_us,
                  r.throttled_us, r.in_bytes, r.out_bytes, r.log_bytes, r.limits_best_effort);
    if (state_->db.changes() == 1) add(sums[key_of(*record)], r);
    between();
  }
  state_->add_usage(sums);
  sys::fail_point("ledger.committing");
  transaction.commit();
} catch (const sqlite::Error& error) {
  // SQLite's own text repeats the whole statement, which says nothing here.
  throw sys::Error("commit records", state_->db.path(), error.code());
}

size_t CallsDb::prune(uint64_t before_us, uint32_t at_most) {
  sqlite::Transaction transaction(state_->db);
  state_->statements->prune.run(first_ulid_of(before_us).text(), at_most);
  auto count = static_cast<size_t>(state_->db.changes());
  transaction.commit();
  return count;
}

std::vector<Record> CallsDb::calls(const Query& query) {
  Filter filter;
  filter.text("tenant = ?", query.tenant);
  filter.text("function = ?", query.function);
  filter.text("outcome = ?", query.outcome);
  if (query.since_us > 0) {
    // Ids never run behind the clock, so older ones need not be looked at; the second is for an id
    // made a little before its call's time was taken.
    uint64_t from = query.since_us - std::min(query.since_us, uint64_t{1'000'000});
    filter.text("id >= ?", first_ulid_of(from).text());
    filter.number("received_at_us >= CAST(? AS INTEGER)", query.since_us);
  }
  if (query.until_us > 0) filter.number("received_at_us < CAST(? AS INTEGER)", query.until_us);
  uint32_t limit = std::min(query.limit, kQueryRowsMax);
  sqlite::Statement statement = state_->db.prepare(
      kSelect + filter.where() + " ORDER BY id DESC LIMIT " + std::to_string(limit));
  filter.bind(statement);
  std::vector<Record> records;
  while (statement.step()) records.push_back(record_in(statement));
  return records;
}

std::optional<Record> CallsDb::call(const Ulid& id) {
  sqlite::Statement statement = state_->db.prepare(std::string(kSelect) + " WHERE id = ?");
  statement.query(id.text());
  if (!statement.step()) return std::nullopt;
  return record_in(statement);
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
