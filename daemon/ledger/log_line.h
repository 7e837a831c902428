// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "daemon/ledger/log_store.h"

// An entry as a line of a log file:
//   2025-11-23T12:00:00.012345Z 01ARYZ6S41TSV4RRFFQ69G5FAV out 11 hello world
// time, call, stream (with `+` when the line goes on in the next entry), length, bytes. The bytes
// hold no newline, so a function cannot write anything that looks like an entry, and a reader finds
// the next one after any damage.
namespace hearth::ledger {

constexpr size_t kPieceMax = 64 << 10;

void append_line(std::string& out, const LogEntry& entry);
void append_line(std::string& out, std::string_view time, std::string_view call, Stream stream,
                 bool continues, std::string_view bytes);

// `line` is without its newline. False: no entry. A line that was cut short gives the bytes that
// are there.
bool parse_line(std::string_view line, LogEntry* entry);

}  // namespace hearth::ledger
