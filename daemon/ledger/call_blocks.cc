// SPDX-License-Identifier: Apache-2.0
#include "daemon/ledger/call_blocks.h"

#include <algorithm>
#include <map>
#include <set>

#include "daemon/ledger/record_block.h"

namespace hearth::ledger {
namespace {

// Ids are their 16 bytes, which sort by time. A block's ids are of one second, so whoever looks for
// one need not look at what ended later. `blocks_of` finds the blocks with a call of a function,
// or, with function '', of a tenant.
constexpr const char* kTables = R"sql(
CREATE TABLE blocks (
  block INTEGER PRIMARY KEY, first BLOB NOT NULL, last BLOB NOT NULL, calls INTEGER NOT NULL,
  records BLOB NOT NULL
) STRICT;
CREATE INDEX blocks_by_time ON blocks (last, first);
CREATE TABLE blocks_of (
  tenant TEXT NOT NULL, function TEXT NOT NULL, last BLOB NOT NULL, block INTEGER NOT NULL,
  PRIMARY KEY (tenant, function, last, block)
) STRICT, WITHOUT ROWID;
)sql";

constexpr const char* kOverlapping =
    "SELECT records FROM blocks WHERE last >= ? AND last < ? AND first <= ?";
constexpr const char* kOldest =
    "SELECT block, last, calls, records FROM blocks WHERE last < ? ORDER BY last LIMIT 1";
constexpr const char* kNewest =
    "SELECT last, records FROM blocks WHERE last >= ? ORDER BY last DESC";
constexpr const char* kNewestOf =
    "SELECT o.last, b.records FROM blocks_of o CROSS JOIN blocks b ON b.block = o.block "
    "WHERE o.last >= ? AND o.tenant = ? AND o.function = ? ORDER BY o.last DESC";

using Names = std::pair<std::string_view, std::string_view>;  // tenant, function

std::span<const std::byte> blob(const Ulid& id) {
  return std::as_bytes(std::span(id.bytes));
}

uint64_t second_of(const Ulid& id) {
  return id.unix_ms() / 1000;
}

Ulid end_of_second(const Ulid& id) {
  return first_ulid_of((second_of(id) + 1) * 1'000'000);
}

Ulid ulid_in(const sqlite::Statement& row, int column) {
  Ulid id;
  std::string bytes = row.text(column);
  std::memcpy(id.bytes.data(), bytes.data(), std::min(bytes.size(), id.bytes.size()));
  return id;
}

// Under which a block with this record is found. Nearly always they are there already, for which
// `emplace` would allocate.
void add_keys(const Record& record, std::set<Names>& keys) {
  auto [tenant, function] = names_of(record);
  keys.insert({tenant, function});
  keys.insert({tenant, ""});
}

template <typename Decoded>
Decoded intact(std::optional<Decoded> decoded, const sqlite::Database& database) {
  if (!decoded) throw database.damaged("read a block of records");
  return std::move(*decoded);
}

bool asked_for(const Record& record, const Query& query) {
  auto [tenant, function] = names_of(record);
  return (query.tenant.empty() || tenant == query.tenant) &&
         (query.function.empty() || function == query.function) &&
         (query.outcome.empty() || name_of(record.outcome) == query.outcome) &&
         record.received_at_us >= query.since_us &&
         (query.until_us == 0 || record.received_at_us < query.until_us);
}

// Puts the records of blocks, which come by falling last id and may overlap, into one order.
class NewestFirst {
 public:
  explicit NewestFirst(size_t rows_max) : rows_max_(rows_max) {}
  void add(Record record) { open_.emplace(record.id, record); }
  // No id above this one will be added.
  void settle(const Ulid& above) {
    while (!full() && !open_.empty() && open_.begin()->first > above) {
      found_.push_back(open_.extract(open_.begin()).mapped());
    }
  }
  bool full() const { return found_.size() >= rows_max_; }
  std::vector<Record> take() { return std::move(found_); }

 private:
  size_t rows_max_;
  std::map<Ulid, Record, std::greater<>> open_;
  std::vector<Record> found_;
};

}  // namespace

const char* const CallBlocks::kSchema = kTables;

CallBlocks::CallBlocks(sqlite::Database& database)
    : database_(database),
      overlapping_(database.prepare(kOverlapping)),
      insert_(
          database.prepare("INSERT INTO blocks (first, last, calls, records) VALUES (?,?,?,?)")),
      insert_of_(database.prepare("INSERT INTO blocks_of VALUES (?,?,?,?)")),
      oldest_(database.prepare(kOldest)),
      delete_(database.prepare("DELETE FROM blocks WHERE block = ?")),
      delete_of_(database.prepare(
          "DELETE FROM blocks_of WHERE tenant = ? AND function = ? AND last = ? AND block = ?")) {}

std::vector<const Record*> CallBlocks::insert(std::vector<const Record*> records,
                                              const std::function<void()>& between) {
  std::ranges::sort(records, {}, [](const Record* r) -> const Ulid& { return r->id; });
  std::vector<const Record*> fresh;
  for (Records left(records); !left.empty();) {
    auto other = std::ranges::find_if(
        left, [second = second_of(left[0]->id)](auto* r) { return second_of(r->id) != second; });
    Records same_second = left.first(static_cast<size_t>(other - left.begin()));
    left = left.subspan(same_second.size());

    size_t begin = fresh.size();
    std::vector<Ulid> known = known_between(same_second.front()->id, same_second.back()->id);
    for (const Record* r : same_second) {
      bool twice = fresh.size() > begin && fresh.back()->id == r->id;
      if (!twice && !std::ranges::binary_search(known, r->id)) fresh.push_back(r);
    }
    for (Records rest = Records(fresh).subspan(begin); !rest.empty();) {
      Records block = rest.first(std::min(rest.size(), kBlockRecordsMax));
      insert_block(block);
      between();
      rest = rest.subspan(block.size());
    }
  }
  return fresh;
}

// Of one second; sorted.
std::vector<Ulid> CallBlocks::known_between(const Ulid& first, const Ulid& last) {
  std::vector<Ulid> all;
  overlapping_.query(blob(first), blob(end_of_second(first)), blob(last));
  while (overlapping_.step()) {
    std::vector<Ulid> ids = intact(ids_of_block(overlapping_.text(0)), database_);
    all.insert(all.end(), ids.begin(), ids.end());
  }
  overlapping_.reset();
  std::ranges::sort(all);
  return all;
}

void CallBlocks::insert_block(Records records) {
  std::string encoded = encode_block(records);
  const Ulid &first = records.front()->id, &last = records.back()->id;
  insert_.run(blob(first), blob(last), records.size(), std::as_bytes(std::span(encoded)));
  int64_t block = database_.last_insert_id();
  std::set<Names> keys;
  for (const Record* r : records) add_keys(*r, keys);
  for (const auto& [tenant, function] : keys) insert_of_.run(tenant, function, blob(last), block);
}

size_t CallBlocks::prune(uint64_t before_us, uint32_t at_least) {
  size_t count = 0;
  while (count < at_least) {
    oldest_.query(blob(first_ulid_of(before_us)));
    if (!oldest_.step()) break;
    int64_t block = oldest_.integer(0);
    Ulid last = ulid_in(oldest_, 1);
    count += static_cast<size_t>(oldest_.integer(2));
    std::optional<std::vector<Record>> records = decode_block(oldest_.text(3));
    oldest_.reset();
    std::set<Names> keys;  // views into the records
    if (records) {
      for (const Record& r : *records) add_keys(r, keys);
    }
    for (const auto& [tenant, function] : keys) delete_of_.run(tenant, function, blob(last), block);
    // Nobody can tell any more whose calls it had.
    if (!records) database_.prepare("DELETE FROM blocks_of WHERE block = ?").run(block);
    delete_.run(block);
  }
  oldest_.reset();
  return count;
}

std::vector<Record> CallBlocks::find(const Query& query, uint32_t rows_max) {
  // Ids never run behind the clock, so older ones need not be looked at; the second is for an id
  // made a little before its call's time was taken.
  Ulid since = first_ulid_of(query.since_us - std::min(query.since_us, uint64_t{1'000'000}));
  sqlite::Statement rows = database_.prepare(query.tenant.empty() ? kNewest : kNewestOf);
  if (query.tenant.empty()) {
    rows.query(blob(since));
  } else {
    rows.query(blob(since), query.tenant, query.function);
  }
  NewestFirst found(std::min(query.limit, rows_max));
  while (!found.full() && rows.step()) {
    found.settle(ulid_in(rows, 0));
    for (const Record& r : intact(decode_block(rows.text(1)), database_)) {
      if (asked_for(r, query)) found.add(r);
    }
  }
  found.settle(Ulid{});
  return found.take();
}

std::optional<Record> CallBlocks::find(const Ulid& id) {
  overlapping_.query(blob(id), blob(end_of_second(id)), blob(id));
  std::optional<Record> found;
  while (!found && overlapping_.step()) {
    for (const Record& r : intact(decode_block(overlapping_.text(0)), database_)) {
      if (r.id == id) found = r;
    }
  }
  overlapping_.reset();
  return found;
}

}  // namespace hearth::ledger
