// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "daemon/ledger/ledger.h"
#include "daemon/sqlite/database.h"

// The records of calls in SQLite, in blocks (record_block.h). All methods throw sys::Error; the
// transactions are the caller's.
namespace hearth::ledger {

class CallBlocks {
 public:
  static const char* const kSchema;  // makes the tables, once

  explicit CallBlocks(sqlite::Database& database);  // which has the tables and lives longer

  // Those that were not there yet, by rising id; now they are. `between` is called after each
  // block.
  std::vector<const Record*> insert(std::vector<const Record*> records,
                                    const std::function<void()>& between);
  // Deletes old blocks, until they had at least so many records. Each goes when all of its records
  // were received before then; returns how many records. A damaged one goes like the others.
  size_t prune(uint64_t before_us, uint32_t at_least);

  std::vector<Record> find(const Query& query, uint32_t rows_max);  // newest first
  std::optional<Record> find(const Ulid& id);

 private:
  using Records = std::span<const Record* const>;
  std::vector<Ulid> known_between(const Ulid& first, const Ulid& last);
  void insert_block(Records records);

  sqlite::Database& database_;
  sqlite::Statement overlapping_, insert_, insert_of_, oldest_, delete_, delete_of_;
};

}  // namespace hearth::ledger
