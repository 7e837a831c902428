// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/ledger/record.h"

// What functions wrote to stdout and stderr: one rotated file set per function, each piece tagged with its call. Any bytes,
// lines of any length. Written on the loop thread with short buffered writes; a full disk loses log text (counted and stated), never a call.
namespace hearth::ledger {

enum class Stream : uint8_t { kOut, kErr, kPlatform };  // kPlatform: Hearth's own notes (load notes, "truncated: N bytes")

struct LogEntry { uint64_t time_us = 0; Ulid call; Stream stream = Stream::kOut; std::string bytes; };

class LogStore {
 public:
  struct Options {
    std::string dir;
    uint64_t file_bytes_max = 8u << 20;  // per file before rotation
    uint32_t files_max = 4;              // per function
    uint64_t call_bytes_max = 256u << 10;// kept per call; beyond, counted and dropped
  };
  explicit LogStore(Options options);
  ~LogStore();

  // Splits at newlines; a partial line waits for its rest up to 64 KiB, then is written as it is.
  void append(const std::string& tenant, const std::string& function, const Ulid& call, Stream stream, std::string_view bytes);
  // Writes partial lines and, when bytes were dropped, the platform line `truncated: N bytes`. Returns all bytes seen.
  uint64_t end_call(const std::string& tenant, const std::string& function, const Ulid& call);
  void note(const std::string& tenant, const std::string& function, const Ulid& call, std::string_view text);

  // The last `limit` entries, oldest first, of one call if given. Reads the files; may run on another thread.
  struct Position { uint64_t file = 0, offset = 0; };
  std::vector<LogEntry> read(const std::string& tenant, const std::string& function, std::optional<Ulid> call, size_t limit, Position* end) const;
  // Entries written after `from`, which it moves: for --follow.
  std::vector<LogEntry> read_from(const std::string& tenant, const std::string& function, std::optional<Ulid> call, Position* from) const;
  void remove(const std::string& tenant, const std::string& function);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace hearth::ledger
