// SPDX-License-Identifier: Apache-2.0
// Writes records into a ledger whose daemon is stopped: fill_ledger DATABASE COUNT. They are of 100
// functions of 10 tenants, a millisecond apart, the last a minute ago.
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "daemon/ledger/calls_db.h"
#include "daemon/ledger/timestamp.h"

using namespace hearth::ledger;

namespace {

constexpr uint64_t kGroup = 2000;  // as many as hearthd commits at once

Record record_of(uint64_t number, uint64_t received_at_us) {
  Record r;
  r.id = first_ulid_of(received_at_us);
  for (int i = 0; i < 8; i++)
    r.id.bytes[15 - i] = static_cast<uint8_t>(number * 0x9e3779b9 >> 8 * i);
  std::snprintf(r.tenant, sizeof(r.tenant), "tenant%d", static_cast<int>(number % 10));
  std::snprintf(r.function, sizeof(r.function), "function%d", static_cast<int>(number % 100));
  r.version = 1;
  r.trigger = Trigger::kHttp;
  r.outcome = Outcome::kOk;
  r.start = Start::kWarm;
  r.memory_source = MemorySource::kPeakReset;
  r.received_at_us = received_at_us;
  r.queue_us = 20;
  r.run_us = 100;
  r.total_us = 150;
  r.memory_mb = 128;
  r.memory_peak_bytes = 300'000;
  r.cpu_user_us = 60;
  r.cpu_system_us = 30;
  r.in_bytes = r.out_bytes = 100;
  bill(r);
  return r;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: fill_ledger DATABASE COUNT\n");
    return 2;
  }
  uint64_t count = std::strtoull(argv[2], nullptr, 10);
  uint64_t begin_us = now_us() - count * 1000 - 60'000'000;
  CallsDb database(argv[1], Durability::kProcess);
  for (uint64_t done = 0; done < count;) {
    std::vector<Record> records;
    for (; records.size() < kGroup && done < count; done++) {
      records.push_back(record_of(done, begin_us + done * 1000));
    }
    std::vector<const Record*> all;
    for (const Record& r : records) all.push_back(&r);
    database.insert(all, [] {});
  }
  return 0;
}
