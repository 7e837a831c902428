// SPDX-License-Identifier: Apache-2.0
#include "daemon/ledger/log_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <deque>

#include "daemon/ledger/log_files.h"
#include "daemon/ledger/log_line.h"
#include "sandbox/sys/fd.h"

namespace hearth::ledger {
namespace {

constexpr size_t kTextMax = 4 << 20;      // of one answer
constexpr size_t kWindowMin = 256 << 10;  // first look from the end of a file
constexpr size_t kFollowMax = 1 << 20;    // read at once by read_log_from

// A file that is being read while it is written to, or rotated away.
class LogFile {
 public:
  LogFile(const std::string& folder, uint64_t number)
      : fd_(::open(log_file(folder, number).c_str(), O_RDONLY | O_CLOEXEC)) {}

  uint64_t size() const {
    struct stat info {};
    return fd_ && ::fstat(fd_.get(), &info) == 0 ? static_cast<uint64_t>(info.st_size) : 0;
  }

  // What is there at that place; less at the end of the file or when the disk fails.
  std::string_view at(uint64_t offset, size_t bytes) {
    block_.resize(bytes);
    size_t got = 0;
    while (fd_ && got < bytes) {
      ssize_t now =
          ::pread(fd_.get(), block_.data() + got, bytes - got, static_cast<off_t>(offset + got));
      if (now <= 0) break;
      got += static_cast<size_t>(now);
    }
    return {block_.data(), got};
  }

 private:
  sys::Fd fd_;
  std::string block_;
};

// Calls `take` for each whole line; returns how many bytes those were. A last line without its
// newline is still being written.
template <typename Take>
size_t for_each_line(std::string_view text, Take take) {
  size_t begin = 0;
  for (;;) {
    size_t end = text.find('\n', begin);
    if (end == std::string_view::npos) return begin;
    take(text.substr(begin, end - begin));
    begin = end + 1;
  }
}

// The last entries that were added, within the bounds of an answer.
class Tail {
 public:
  Tail(std::optional<Ulid> call, size_t limit) : call_(call), limit_(limit) {
    if (call) call_text_ = call->text();
  }

  void add(std::string_view line) {
    if (call_ && line.find(call_text_) == std::string_view::npos) return;  // the cheap test first
    LogEntry entry;
    if (!parse_line(line, &entry) || (call_ && entry.call != *call_)) return;
    bytes_ += entry.bytes.size();
    entries_.push_back(std::move(entry));
    while (entries_.size() > limit_ || bytes_ > kTextMax) {
      bytes_ -= entries_.front().bytes.size();
      entries_.pop_front();
      full_ = true;
    }
  }
  // No older entry would be kept.
  bool full() const { return full_ || entries_.size() >= limit_; }
  void put_before(Tail&& newer) {
    for (LogEntry& entry : newer.entries_) {
      bytes_ += entry.bytes.size();
      entries_.push_back(std::move(entry));
    }
    while (entries_.size() > limit_ || bytes_ > kTextMax) {
      bytes_ -= entries_.front().bytes.size();
      entries_.pop_front();
      full_ = true;
    }
  }
  std::vector<LogEntry> take() {
    return {std::make_move_iterator(entries_.begin()), std::make_move_iterator(entries_.end())};
  }

 private:
  std::optional<Ulid> call_;
  std::string call_text_;
  size_t limit_;
  std::deque<LogEntry> entries_;
  size_t bytes_ = 0;
  bool full_ = false;
};

// Looks at the end of the file first, and at more of it until enough is found.
Tail tail_of(LogFile& file, std::optional<Ulid> call, size_t limit, uint64_t* end) {
  uint64_t size = file.size();
  for (uint64_t window = kWindowMin;; window *= 2) {
    uint64_t begin = size > window ? size - window : 0;
    std::string_view text = file.at(begin, size - begin);
    size_t skipped = 0;
    if (begin > 0) {
      // Starts in the middle of a line.
      size_t newline = text.find('\n');
      skipped = newline == std::string_view::npos ? text.size() : newline + 1;
    }
    Tail tail(call, limit);
    size_t whole = for_each_line(text.substr(skipped), [&](auto line) { tail.add(line); });
    *end = begin + skipped + whole;
    if (begin == 0 || tail.full()) return tail;
  }
}

// Where to go on when the file is no longer there (rotated away), or when the function is another
// one of the same name, whose files count from 1 again.
bool settle(const std::vector<uint64_t>& numbers, LogStore::Position* at) {
  if (numbers.empty()) return false;
  auto here = std::lower_bound(numbers.begin(), numbers.end(), at->file);
  if (here == numbers.end()) here = numbers.begin();
  if (*here != at->file) *at = {*here, 0};
  return true;
}

}  // namespace

std::vector<LogEntry> read_log(const std::string& folder, std::optional<Ulid> call, size_t limit,
                               LogStore::Position* end) {
  std::vector<uint64_t> numbers = log_numbers(folder);
  Tail found(call, limit);
  if (end != nullptr) *end = {};
  for (auto number = numbers.rbegin(); number != numbers.rend(); ++number) {
    LogFile file(folder, *number);
    uint64_t file_end = 0;
    Tail older = tail_of(file, call, limit, &file_end);
    if (end != nullptr && number == numbers.rbegin()) *end = {*number, file_end};
    older.put_before(std::move(found));
    found = std::move(older);
    if (found.full()) break;
  }
  return found.take();
}

std::vector<LogEntry> read_log_from(const std::string& folder, std::optional<Ulid> call,
                                    LogStore::Position* from) {
  std::vector<LogEntry> entries;
  // Listed before reading: a file that is not the last one now will not grow any more.
  std::vector<uint64_t> numbers = log_numbers(folder);
  while (entries.empty() && settle(numbers, from)) {
    LogFile file(folder, from->file);
    if (from->offset > file.size()) from->offset = 0;
    std::string_view text = file.at(from->offset, kFollowMax);
    size_t whole = for_each_line(text, [&](std::string_view line) {
      LogEntry entry;
      if (parse_line(line, &entry) && (!call || entry.call == *call)) {
        entries.push_back(std::move(entry));
      }
    });
    // No line is that long: damage, to be passed over.
    if (whole == 0 && text.size() == kFollowMax) whole = text.size();
    from->offset += whole;
    if (whole > 0) continue;
    if (from->file == numbers.back()) break;
    *from = {from->file + 1, 0};
  }
  return entries;
}

}  // namespace hearth::ledger
