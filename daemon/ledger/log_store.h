// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/ledger/record.h"

// What functions wrote to stdout and stderr: one rotated file set per function, each line tagged
// with its call. Any bytes, lines of any length. Written on the loop thread, one write per append;
// a full disk loses log text (counted and stated), never a call.
namespace hearth::ledger {

// kPlatform: Hearth's own notes (load notes, "truncated: N bytes").
enum class Stream : uint8_t { kOut, kErr, kPlatform };
const char* name_of(Stream stream);  // "out", "err", "platform"

struct LogEntry {
  uint64_t time_us = 0;
  Ulid call;  // zero: a note about the whole log
  Stream stream = Stream::kOut;
  std::string bytes;       // without the newline
  bool continues = false;  // the line goes on in this call's next entry of this stream
};

class LogStore {
 public:
  struct Options {
    std::string dir;
    uint64_t file_bytes_max = 8u << 20;  // per file before rotation; one write may pass it
    uint32_t files_max =
        4;  // per function; beyond, the oldest goes, and the next file's head says so
    uint64_t call_bytes_max =
        256u << 10;  // kept per call; a line counts as 16 at least. Beyond: counted, dropped
  };
  explicit LogStore(Options options);
  ~LogStore();

  // Splits at newlines; a partial line waits for its rest up to 64 KiB, then is written as it is.
  // `bytes_max`: what this call may keep where that is less than the store's own limit.
  void append(const std::string& tenant, const std::string& function, const Ulid& call,
              Stream stream, std::string_view bytes, uint64_t bytes_max = UINT64_MAX);
  // Writes partial lines and, when bytes were dropped, the platform line `truncated: N bytes`.
  // Returns all bytes seen. After the call's last append.
  uint64_t end_call(const std::string& tenant, const std::string& function, const Ulid& call);
  // Hearth's own words about a call (or, with a zero id, about the function).
  void note(const std::string& tenant, const std::string& function, const Ulid& call,
            std::string_view text);

  // The last `limit` entries (and at most 4 MiB of text), oldest first, of one call if given. Reads
  // the files; may run on another thread. `end` (may be null) is where read_from goes on.
  struct Position {
    uint64_t file = 0, offset = 0;
  };
  std::vector<LogEntry> read(const std::string& tenant, const std::string& function,
                             std::optional<Ulid> call, size_t limit, Position* end) const;
  // Entries written after `from`, which it moves: for --follow. At most about 1 MiB at a time; an
  // empty answer means that there is no more yet. Files that were rotated away meanwhile are passed
  // over: the next one's head says what was in them.
  std::vector<LogEntry> read_from(const std::string& tenant, const std::string& function,
                                  std::optional<Ulid> call, Position* from) const;
  void remove(const std::string& tenant, const std::string& function);

  uint64_t dropped_bytes() const;  // beyond a call's limit, since the start
  uint64_t lost_bytes() const;     // that the disk refused, since the start

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace hearth::ledger
