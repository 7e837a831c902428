// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "daemon/ledger/log_store.h"

// Reading a function's log files, also while they are written and rotated; no state, any thread.
namespace hearth::ledger {

std::vector<LogEntry> read_log(const std::string& folder, std::optional<Ulid> call, size_t limit,
                               LogStore::Position* end);
std::vector<LogEntry> read_log_from(const std::string& folder, std::optional<Ulid> call,
                                    LogStore::Position* from);

}  // namespace hearth::ledger
