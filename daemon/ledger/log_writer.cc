// SPDX-License-Identifier: Apache-2.0
#include "daemon/ledger/log_writer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "daemon/ledger/log_files.h"
#include "daemon/ledger/log_line.h"
#include "daemon/ledger/timestamp.h"

namespace hearth::ledger {
namespace {

constexpr size_t kOpenMax = 64;

std::string note_line(std::string_view text) {
  std::string line;
  append_line(line, rfc3339(now_us()), Ulid().text(), Stream::kPlatform, false, text);
  return line;
}

// Bytes of text in whole and cut entries.
uint64_t text_in(std::string_view lines) {
  uint64_t bytes = 0;
  while (!lines.empty()) {
    size_t end = std::min(lines.find('\n'), lines.size());
    LogEntry entry;
    if (parse_line(lines.substr(0, end), &entry)) bytes += entry.bytes.size();
    lines.remove_prefix(std::min(end + 1, lines.size()));
  }
  return bytes;
}

}  // namespace

LogWriter::LogWriter(std::string folder, const LogStore::Options& options)
    : folder_(std::move(folder)), options_(options) {}

uint64_t LogWriter::write(std::string_view lines, uint64_t text_bytes) {
  if (!fd_ && !open()) return text_bytes;
  if (size_ > 0 && size_ + lines.size() > options_.file_bytes_max) rotate();
  if (cut_short_ && write_all("\n") != 1) return text_bytes;
  if (owed_bytes_ > 0) {
    std::string statement =
        note_line(fmt::format("lost: {} bytes ({})", owed_bytes_, std::strerror(error_)));
    if (write_all(statement) != statement.size()) return text_bytes;
    owed_bytes_ = 0;
  }
  size_t wrote = write_all(lines);
  if (wrote == lines.size()) return 0;
  return text_bytes - std::min(text_bytes, text_in(lines.substr(0, wrote)));
}

bool LogWriter::open() {
  std::error_code error;
  std::filesystem::create_directories(folder_, error);
  if (error) {
    error_ = error.value();
    return false;
  }
  std::vector<uint64_t> numbers = log_numbers(folder_);
  if (!numbers.empty()) return open_number(numbers.back());
  return open_number(1);
}

bool LogWriter::open_number(uint64_t number) {
  sys::Fd fd(::open(log_file(folder_, number).c_str(),
                    O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640));
  struct stat info {};
  if (!fd || ::fstat(fd.get(), &info) != 0) {
    error_ = errno;
    return false;
  }
  fd_ = std::move(fd);
  number_ = number;
  size_ = static_cast<uint64_t>(info.st_size);
  // A hearthd that died while it wrote may have left half an entry: the next one begins on a new
  // line.
  char last = '\n';
  (void)!::pread(fd_.get(), &last, 1, info.st_size - 1);  // an empty file has no last byte
  cut_short_ = last != '\n';
  return true;
}

// When no new file can be made the old one grows on: more than its bound, but nothing is lost by
// it.
void LogWriter::rotate() {
  if (cut_short_) (void)write_all("\n");
  if (!open_number(number_ + 1)) return;
  std::string dropped = drop_oldest();
  if (dropped.empty()) return;
  std::string head = note_line(dropped);
  (void)write_all(head);  // a full disk shows with the next line
}

std::string LogWriter::drop_oldest() {
  uint64_t bytes = 0, files = 0, kept = std::max(options_.files_max, 1u);
  for (uint64_t number : log_numbers(folder_)) {
    if (number + kept > number_) break;
    std::string name = log_file(folder_, number);
    struct stat info {};
    if (::stat(name.c_str(), &info) != 0 || ::unlink(name.c_str()) != 0) continue;
    bytes += static_cast<uint64_t>(info.st_size);
    files++;
  }
  if (files == 0) return {};
  return fmt::format(
      "rotated: {} bytes of older log in {} file(s) are gone (limit {} files of {} bytes)", bytes,
      files, kept, options_.file_bytes_max);
}

size_t LogWriter::write_all(std::string_view bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    ssize_t now = ::write(fd_.get(), bytes.data() + done, bytes.size() - done);
    if (now < 0 && errno == EINTR) continue;
    if (now <= 0) {
      error_ = now == 0 ? ENOSPC : errno;
      break;
    }
    done += static_cast<size_t>(now);
  }
  size_ += done;
  if (done > 0) cut_short_ = bytes[done - 1] != '\n';
  return done;
}

LogWriter* LogWriters::get(const std::string& folder) {
  if (folder.empty()) return nullptr;
  auto [at, fresh] = writers_.try_emplace(folder, Entry{LogWriter(folder, options_), {}});
  if (fresh) {
    uses_.push_front(&at->first);
    at->second.use = uses_.begin();
  } else {
    uses_.splice(uses_.begin(), uses_, at->second.use);
  }
  // Only the first ones in order of use are open: nothing is opened but through here.
  if (uses_.size() > kOpenMax) writers_.at(**std::next(uses_.begin(), kOpenMax)).writer.close();
  return &at->second.writer;
}

void LogWriters::forget(const std::string& folder) {
  auto at = writers_.find(folder);
  if (at == writers_.end()) return;
  uses_.erase(at->second.use);
  writers_.erase(at);
}

}  // namespace hearth::ledger
