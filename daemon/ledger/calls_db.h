// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/ledger/ledger.h"

// Records and usage in SQLite. One object is one connection, for one thread at a time; all methods
// throw sys::Error.
//
// Invariant: for each tenant, function, day and outcome, the usage row is the sum over all records
// ever inserted. Both change in the same transaction, and a record that is already there changes
// nothing, so inserting again is harmless.
namespace hearth::ledger {

constexpr uint32_t kQueryRowsMax = 10'000;
constexpr uint32_t kUsageRowsMax = 100'000;

class CallsDb {
 public:
  CallsDb(const std::string& path, Durability durability);
  ~CallsDb();

  // All or nothing. `between` is called after each block of them.
  void insert(const std::vector<const Record*>& records, const std::function<void()>& between);
  // Deletes the oldest records that were received before then, until there were at least so many;
  // returns how many. Some stay a second longer.
  size_t prune(uint64_t before_us, uint32_t at_least);

  std::vector<Record> calls(const Query& query);  // newest first
  std::optional<Record> call(const Ulid& id);
  std::vector<Usage> usage(const Query& query);  // by tenant, function, day

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace hearth::ledger
