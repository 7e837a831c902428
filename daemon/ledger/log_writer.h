// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>

#include "daemon/ledger/log_store.h"
#include "sandbox/sys/fd.h"

namespace hearth::ledger {

// The file that a function's log is written to now, opened when there is something to write. Files
// are only appended to. Write failures never throw: what could not be written is counted, and
// stated in the log as soon as something can be.
class LogWriter {
 public:
  LogWriter(std::string folder, const LogStore::Options& options);

  // `lines` are whole lines with `text_bytes` of text in them. Returns how many of those are lost.
  uint64_t write(std::string_view lines, uint64_t text_bytes);
  // These were lost with nowhere to say so: the next write does.
  void owe(uint64_t lost_bytes) { owed_bytes_ += lost_bytes; }
  int error() const { return error_; }  // errno of the last failure

  bool is_open() const { return static_cast<bool>(fd_); }
  void close() { fd_.reset(); }

 private:
  bool open();
  bool open_number(uint64_t number);
  void rotate();
  std::string drop_oldest();
  size_t write_all(std::string_view bytes);

  std::string folder_;
  const LogStore::Options& options_;
  sys::Fd fd_;
  uint64_t number_ = 0, size_ = 0;
  bool cut_short_ = false;  // the file does not end in a newline
  uint64_t owed_bytes_ = 0;
  int error_ = 0;
};

// The writers of all functions, of which only so many hold a descriptor.
class LogWriters {
 public:
  explicit LogWriters(const LogStore::Options& options) : options_(options) {}

  LogWriter* get(const std::string& folder);  // nullptr for an empty folder name
  void forget(const std::string& folder);

 private:
  struct Entry {
    LogWriter writer;
    std::list<const std::string*>::iterator use;
  };
  const LogStore::Options& options_;
  std::unordered_map<std::string, Entry> writers_;
  std::list<const std::string*> uses_;  // the last one used is at the front
};

}  // namespace hearth::ledger
