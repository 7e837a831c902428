// SPDX-License-Identifier: Apache-2.0
#include "daemon/ledger/record_block.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <map>
#include <utility>

#include "sandbox/sys/error.h"

namespace hearth::ledger {
namespace {

constexpr uint64_t kFormat = 1;
constexpr size_t kIdSize = sizeof(Ulid::bytes);
constexpr size_t kNameMax = sizeof(Record::tenant) - 1;
constexpr size_t kNumberSizeMax = 10;  // 64 bits in sevens
constexpr size_t kNumbersMax = 24;     // of one record
constexpr size_t kRecordSizeMax = 1 + kIdSize + 2 * (1 + kNameMax) + kNumbersMax * kNumberSizeMax;

using Names = std::pair<std::string_view, std::string_view>;  // tenant, function

// Each number of a record, in the order of the block; less the time, which is kept as what it
// differs from the id's.
template <typename RecordOrConst, typename Visit>
void for_each_number(RecordOrConst& r, Visit visit) {
  visit(r.version);
  visit(r.trigger);
  visit(r.outcome);
  visit(r.start);
  visit(r.memory_source);
  visit(r.limits_best_effort);
  visit(r.queue_us);
  visit(r.init_us);
  visit(r.run_us);
  visit(r.total_us);
  visit(r.billed_ms);
  visit(r.gb_ms);
  visit(r.memory_mb);
  visit(r.memory_peak_bytes);
  visit(r.cpu_user_us);
  visit(r.cpu_system_us);
  visit(r.throttled_us);
  visit(r.in_bytes);
  visit(r.out_bytes);
  visit(r.log_bytes);
}

// A small number for a small difference of either sign: the clock may have stepped back.
uint64_t zigzag(uint64_t difference) {
  return (difference << 1) ^ (0 - (difference >> 63));
}
uint64_t unzigzag(uint64_t number) {
  return (number >> 1) ^ (0 - (number & 1));
}

// Into memory that is large enough for whatever comes.
class Writer {
 public:
  explicit Writer(char* begin) : at_(begin) {}
  char* end() const { return at_; }
  void number(uint64_t value) {
    for (; value >= 0x80; value >>= 7) *at_++ = static_cast<char>(value | 0x80);
    *at_++ = static_cast<char>(value);
  }
  void bytes(const void* from, size_t size) {
    std::memcpy(at_, from, size);
    at_ += size;
  }
  void text(std::string_view text) {
    number(text.size());
    bytes(text.data(), text.size());
  }
  void id(const Ulid& id, const Ulid& before) {
    size_t shared = 0;
    while (shared < kIdSize && id.bytes[shared] == before.bytes[shared]) shared++;
    number(shared);
    bytes(id.bytes.data() + shared, kIdSize - shared);
  }

 private:
  char* at_;
};

// What runs over the end or out of bounds is remembered; from then on everything reads as nothing.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : left_(bytes) {}
  bool good() const { return good_; }
  bool at_end() const { return left_.empty(); }

  uint64_t number(uint64_t at_most = std::numeric_limits<uint64_t>::max()) {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      uint8_t byte = 0;
      bytes(&byte, 1);
      value |= uint64_t{byte & 0x7fu} << shift;
      if ((byte & 0x80) != 0) continue;
      good_ = good_ && value <= at_most;
      return good_ ? value : 0;
    }
    good_ = false;
    return 0;
  }
  void bytes(void* to, size_t size) {
    good_ = good_ && size <= left_.size();
    if (!good_) return;
    std::memcpy(to, left_.data(), size);
    left_.remove_prefix(size);
  }
  void name(char (&field)[kNameMax + 1]) { bytes(field, number(kNameMax)); }
  void id(Ulid* id) {  // in: the one before
    size_t shared = number(kIdSize);
    bytes(id->bytes.data() + shared, kIdSize - shared);
  }

 private:
  std::string_view left_;
  bool good_ = true;
};

std::optional<std::vector<Ulid>> read_ids(Reader& in) {
  if (in.number() != kFormat) return std::nullopt;
  std::vector<Ulid> ids(in.number(kBlockRecordsMax));
  Ulid before;
  for (Ulid& id : ids) {
    in.id(&before);
    id = before;
  }
  if (!in.good()) return std::nullopt;
  return ids;
}

}  // namespace

std::string encode_block(std::span<const Record* const> records) {
  HEARTH_CHECK(records.size() <= kBlockRecordsMax);
  std::map<Names, uint64_t> indexes;
  for (const Record* r : records) indexes.try_emplace(names_of(*r), indexes.size());
  std::vector<Names> names(indexes.size());
  for (const auto& [pair, index] : indexes) names[index] = pair;

  char space[3 * kNumberSizeMax + kBlockRecordsMax * kRecordSizeMax];
  Writer out(space);
  out.number(kFormat);
  out.number(records.size());
  Ulid before;
  for (const Record* r : records) {
    out.id(r->id, before);
    before = r->id;
  }
  out.number(names.size());
  for (const auto& [tenant, function] : names) {
    out.text(tenant);
    out.text(function);
  }
  for (const Record* r : records) {
    out.number(indexes.find(names_of(*r))->second);
    out.number(zigzag(r->received_at_us - r->id.unix_ms() * 1000));
    for_each_number(*r, [&out](auto number) { out.number(static_cast<uint64_t>(number)); });
  }
  return {space, out.end()};
}

std::optional<std::vector<Record>> decode_block(std::string_view bytes) {
  Reader in(bytes);
  std::optional<std::vector<Ulid>> ids = read_ids(in);
  if (!ids) return std::nullopt;
  std::vector<Record> named(in.number(kBlockRecordsMax));  // one with each of the names
  for (Record& r : named) {
    in.name(r.tenant);
    in.name(r.function);
  }
  std::vector<Record> records;
  records.reserve(ids->size());
  for (const Ulid& id : *ids) {
    uint64_t index = in.number();
    if (!in.good() || index >= named.size()) return std::nullopt;
    Record& r = records.emplace_back(named[index]);
    r.id = id;
    r.received_at_us = unzigzag(in.number()) + id.unix_ms() * 1000;
    for_each_number(r, [&in](auto& number) {
      using Number = std::remove_reference_t<decltype(number)>;
      number = static_cast<Number>(in.number((uint64_t{1} << (8 * sizeof(Number) - 1)) * 2 - 1));
    });
  }
  if (!in.good() || !in.at_end()) return std::nullopt;
  return records;
}

std::optional<std::vector<Ulid>> ids_of_block(std::string_view bytes) {
  Reader in(bytes);
  return read_ids(in);
}

}  // namespace hearth::ledger
