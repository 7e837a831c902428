// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/ledger/record.h"

// Some hundred records in one string of bytes. A row of the database for each, found by three
// B-trees, took 9 us of processor time and 230 bytes; in a block it takes 0.5 us and 70.
//
// Layout; numbers are LEB128, least bits first, seven in a byte:
//   format (1), how many records;
//   each id, rising: how many leading bytes it shares with the one before, the bytes after those;
//   how many names; each as length and bytes of the tenant, length and bytes of the function;
//   each record: index of its names, the zigzag of what its time differs from its
//   id's, and its numbers in the order of `for_each_number` in the source file.
namespace hearth::ledger {

// What a query for a rare function decodes for one record that it finds, and what a commit writes
// without a pause: some 12 kB.
constexpr size_t kBlockRecordsMax = 256;

// At most kBlockRecordsMax records, by rising id. What only recovery needs is not kept.
std::string encode_block(std::span<const Record* const> records);

// nullopt: damaged, or of a newer Hearth.
std::optional<std::vector<Record>> decode_block(std::string_view bytes);
std::optional<std::vector<Ulid>> ids_of_block(std::string_view bytes);

}  // namespace hearth::ledger
