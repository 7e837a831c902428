// SPDX-License-Identifier: Apache-2.0
#include "daemon/ledger/call_rows.h"

#include <algorithm>
#include <cstring>

namespace hearth::ledger {

const char* const kRowSchema = R"sql(
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
)sql";

const char* const kSetRowsAside = R"sql(
ALTER TABLE calls RENAME TO rows;
DROP INDEX calls_of_function;
DROP INDEX calls_of_tenant;
)sql";

namespace {

constexpr uint32_t kRowsAtOnce = 10'000;

// In the order of the table's columns, which record_in() follows.
constexpr const char* kSelect =
    "SELECT id, tenant, function, version, trigger, outcome, start, received_at_us, queue_us, "
    "init_us, run_us, total_us, billed_ms, gb_ms, memory_mb, memory_peak_bytes, "
    "memory_peak_source, cpu_user_us, cpu_system_us, throttled_us, in_bytes, out_bytes, "
    "log_bytes, limits_best_effort FROM rows ORDER BY id LIMIT ?";

void put_text(char (&field)[64], const std::string& text) {
  std::memcpy(field, text.data(), std::min(text.size(), sizeof(field) - 1));
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

}  // namespace

void move_rows(sqlite::Database& database, CallBlocks& blocks) {
  if (database.number("SELECT count(*) FROM sqlite_master WHERE name = 'rows'") == 0) return;
  sqlite::Statement select = database.prepare(kSelect);
  sqlite::Statement forget = database.prepare("DELETE FROM rows WHERE id <= ?");
  for (bool more = true; more;) {
    sqlite::Transaction transaction(database);
    std::vector<Record> records;
    select.query(kRowsAtOnce);
    while (select.step()) records.push_back(record_in(select));
    select.reset();
    more = !records.empty();
    std::vector<const Record*> all;
    for (const Record& r : records) all.push_back(&r);
    blocks.insert(all, [] {});
    if (more) forget.run(records.back().id.text());
    transaction.commit();
  }
  database.exec("DROP TABLE rows");
}

}  // namespace hearth::ledger
