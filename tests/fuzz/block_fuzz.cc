// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <string_view>

#include "daemon/ledger/record_block.h"
#include "sandbox/sys/error.h"

using namespace hearth::ledger;

// Any bytes as a block of the ledger's file. What is accepted must come back from what it is
// encoded to.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  std::string_view block(reinterpret_cast<const char*>(bytes), size);
  std::optional<std::vector<Record>> records = decode_block(block);
  if (!records) return 0;
  HEARTH_CHECK(ids_of_block(block)->size() == records->size());
  std::vector<const Record*> all;
  for (const Record& r : *records) all.push_back(&r);
  std::optional<std::vector<Record>> again = decode_block(encode_block(all));
  HEARTH_CHECK(again && again->size() == records->size());
  for (size_t i = 0; i < all.size(); i++) {
    const Record &a = *all[i], &b = (*again)[i];
    HEARTH_CHECK(a.id == b.id && names_of(a) == names_of(b) && a.outcome == b.outcome);
    HEARTH_CHECK(a.received_at_us == b.received_at_us && a.log_bytes == b.log_bytes);
  }
  return 0;
}
