// SPDX-License-Identifier: Apache-2.0
#include "daemon/ledger/log_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <map>
#include <utility>

#include "daemon/ledger/log_files.h"
#include "daemon/ledger/log_line.h"
#include "daemon/ledger/log_reader.h"
#include "daemon/ledger/log_writer.h"
#include "daemon/ledger/timestamp.h"

namespace hearth::ledger {
namespace {

constexpr size_t kStreamCount = 3;
constexpr size_t kBatchMax = 64 << 10;
// An entry costs a header and its handling, so a line shorter than this is counted as this long.
constexpr uint64_t kLineCostMin = 16;

// What one call has printed so far.
struct CallLog {
  uint64_t bytes_max = 0;  // kept at most
  uint64_t seen_bytes = 0, counted_bytes = 0, dropped_bytes = 0, lost_bytes = 0;
  std::string partial[kStreamCount];
};

}  // namespace

struct LogStore::State {
  explicit State(Options o) : options(std::move(o)), writers(options) {}

  // Adds a line, or as much of it as the call may still write. `newline`: it ended in one.
  void add(CallLog& log, Stream stream, std::string_view text, bool newline, bool continues) {
    uint64_t left = log.bytes_max - std::min(log.counted_bytes, log.bytes_max);
    size_t kept = std::min<uint64_t>(text.size(), left);
    if (kept < text.size() || left == 0) {
      uint64_t gone = text.size() - kept + (newline ? 1 : 0);
      log.dropped_bytes += gone;
      dropped_bytes += gone;
    }
    uint64_t cost = std::max(text.size() + (newline ? 1 : 0), kLineCostMin);
    log.counted_bytes += std::min(cost, left);
    if (left == 0) return;
    append_line(batch, time, call, stream, continues, text.substr(0, kept));
    batch_text_bytes += kept;
    if (batch.size() >= kBatchMax) write_batch(log);
  }

  void split(CallLog& log, Stream stream, std::string_view bytes) {
    std::string& partial = log.partial[static_cast<size_t>(stream)];
    while (!bytes.empty()) {
      if (log.counted_bytes >= log.bytes_max) {
        // Nothing more is kept, so nothing needs to be looked at.
        log.dropped_bytes += bytes.size();
        dropped_bytes += bytes.size();
        return;
      }
      size_t room = kPieceMax - partial.size();
      const void* found = std::memchr(bytes.data(), '\n', std::min(room + 1, bytes.size()));
      bool newline = found != nullptr;
      size_t size = newline ? static_cast<size_t>(static_cast<const char*>(found) - bytes.data())
                            : std::min(room, bytes.size());
      bool full = !newline && size == room;
      if (!newline && !full) {
        partial.append(bytes);
        return;
      }
      std::string_view piece = bytes.substr(0, size);
      if (!partial.empty()) piece = partial.append(piece);
      add(log, stream, piece, newline, full);
      partial.clear();
      bytes.remove_prefix(size + (newline ? 1 : 0));
    }
  }

  void write_batch(CallLog& log) {
    if (batch.empty()) return;
    uint64_t lost = writer ? writer->write(batch, batch_text_bytes) : batch_text_bytes;
    log.lost_bytes += lost;
    lost_bytes += lost;
    batch.clear();
    batch_text_bytes = 0;
  }

  // What did not get into the log is stated in it, or owed until the disk takes a line again.
  void state_losses(const CallLog& log) {
    if (log.dropped_bytes > 0) {
      std::string text = fmt::format("truncated: {} bytes (limit {} bytes per call)",
                                     log.dropped_bytes, log.bytes_max);
      append_line(batch, time, call, Stream::kPlatform, false, text);
    }
    if (log.lost_bytes > 0) {
      std::string why = writer ? std::strerror(writer->error()) : "no such function";
      std::string text = fmt::format("lost: {} bytes ({})", log.lost_bytes, why);
      append_line(batch, time, call, Stream::kPlatform, false, text);
    }
    if (batch.empty()) return;
    bool stated = writer && writer->write(batch, 1) == 0;
    if (!stated && writer) writer->owe(log.lost_bytes + log.dropped_bytes);
    batch.clear();
  }

  void begin(const std::string& tenant, const std::string& function, const Ulid& id) {
    folder = log_folder(options.dir, tenant, function);
    writer = writers.get(folder);
    time = rfc3339(now_us());
    call = id.text();
  }

  const Options options;
  LogWriters writers;
  // By folder too: what is printed while code loads belongs to no call, and never to another
  // function.
  std::map<std::pair<Ulid, std::string>, CallLog> calls;
  uint64_t dropped_bytes = 0, lost_bytes = 0;

  // Of the append that is being worked on; kept for their memory.
  LogWriter* writer = nullptr;
  std::string folder, time, call, batch;
  uint64_t batch_text_bytes = 0;
};

LogStore::LogStore(Options options) : state_(std::make_unique<State>(std::move(options))) {}
LogStore::~LogStore() = default;

void LogStore::append(const std::string& tenant, const std::string& function, const Ulid& call,
                      Stream stream, std::string_view bytes, uint64_t bytes_max) {
  if (bytes.empty()) return;
  State& s = *state_;
  s.begin(tenant, function, call);
  CallLog& log = s.calls[{call, s.folder}];
  log.bytes_max = std::min(bytes_max, s.options.call_bytes_max);
  log.seen_bytes += bytes.size();
  s.split(log, stream, bytes);
  s.write_batch(log);
}

uint64_t LogStore::end_call(const std::string& tenant, const std::string& function,
                            const Ulid& call) {
  State& s = *state_;
  auto at = s.calls.find({call, log_folder(s.options.dir, tenant, function)});
  if (at == s.calls.end()) return 0;
  CallLog log = std::move(at->second);
  s.calls.erase(at);
  s.begin(tenant, function, call);
  for (size_t stream = 0; stream < kStreamCount; stream++) {
    const std::string& rest = log.partial[stream];
    if (!rest.empty()) s.add(log, static_cast<Stream>(stream), rest, false, false);
  }
  s.write_batch(log);
  s.state_losses(log);
  return log.seen_bytes;
}

void LogStore::note(const std::string& tenant, const std::string& function, const Ulid& call,
                    std::string_view text) {
  State& s = *state_;
  CallLog log;
  log.bytes_max = s.options.call_bytes_max;
  s.begin(tenant, function, call);
  s.split(log, Stream::kPlatform, text);
  const std::string& rest = log.partial[static_cast<size_t>(Stream::kPlatform)];
  if (!rest.empty()) s.add(log, Stream::kPlatform, rest, false, false);
  s.write_batch(log);
  s.state_losses(log);
}

std::vector<LogEntry> LogStore::read(const std::string& tenant, const std::string& function,
                                     std::optional<Ulid> call, size_t limit, Position* end) const {
  return read_log(log_folder(state_->options.dir, tenant, function), call, limit, end);
}

std::vector<LogEntry> LogStore::read_from(const std::string& tenant, const std::string& function,
                                          std::optional<Ulid> call, Position* from) const {
  return read_log_from(log_folder(state_->options.dir, tenant, function), call, from);
}

void LogStore::remove(const std::string& tenant, const std::string& function) {
  std::string folder = log_folder(state_->options.dir, tenant, function);
  if (folder.empty()) return;
  state_->writers.forget(folder);
  std::error_code ignored;  // what cannot be deleted is overwritten or rotated away later
  std::filesystem::remove_all(folder, ignored);
  std::filesystem::remove(state_->options.dir + "/" + tenant, ignored);  // when it is empty now
}

uint64_t LogStore::dropped_bytes() const {
  return state_->dropped_bytes;
}
uint64_t LogStore::lost_bytes() const {
  return state_->lost_bytes;
}

}  // namespace hearth::ledger
