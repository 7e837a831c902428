// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "daemon/ledger/log_files.h"
#include "daemon/ledger/log_line.h"
#include "daemon/ledger/log_store.h"
#include "tests/unit/ledger/fixture.h"

namespace hearth::ledger {

class LogStoreTest : public InFolder {
 protected:
  LogStore::Options small() const {
    LogStore::Options options;
    options.dir = path("logs");
    return options;
  }
  std::string folder() const { return path("logs") + "/t/f"; }
  uint64_t bytes_on_disk() const {
    uint64_t bytes = 0;
    for (uint64_t number : log_numbers(folder())) {
      bytes += std::filesystem::file_size(log_file(folder(), number));
    }
    return bytes;
  }
};

inline std::vector<std::string> texts(const std::vector<LogEntry>& entries) {
  std::vector<std::string> out;
  for (const LogEntry& entry : entries) out.push_back(entry.bytes);
  return out;
}

using Lines = std::vector<std::string>;

}  // namespace hearth::ledger
