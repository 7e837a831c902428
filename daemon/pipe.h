// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "daemon/loop/poll.h"
#include "sandbox/sys/fd.h"

namespace hearth::daemon {

// The read end of a process's stdout or stderr. Every piece goes to the sink. Destruction closes
// it.
class PipeReader {
 public:
  // The sink returns false to stop reading for good (a bound was hit). `changed` is called at end
  // of file.
  using Sink = std::function<bool(std::string_view)>;
  PipeReader(loop::Loop& loop, sys::Fd fd, Sink sink, std::function<void()> changed);
  PipeReader(const PipeReader&) = delete;
  PipeReader& operator=(const PipeReader&) = delete;

  // From here on pieces are read as they arrive; before, only by drain().
  void watch();

  // Reads what is there now, at most `bytes_max` (a writer could be faster than we are).
  void drain(size_t bytes_max = 1u << 20);
  bool ended() const { return ended_; }

 private:
  void stop();

  loop::Loop& loop_;
  sys::Fd fd_;
  Sink sink_;
  std::function<void()> changed_;
  bool ended_ = false;
  std::optional<loop::Poll> poll_;
};

// The write end of a process's stdin. A reader that goes away is no error: the program need not
// read its input.
class PipeWriter {
 public:
  PipeWriter(loop::Loop& loop, sys::Fd fd);
  PipeWriter(const PipeWriter&) = delete;
  PipeWriter& operator=(const PipeWriter&) = delete;

  // Sends all, then closes. `bytes` must outlive the sending: until closed() or destruction.
  void send_and_close(std::string_view bytes);
  bool closed() const { return !fd_; }
  // Both let go of what was borrowed: what is not sent is forgotten, or sent from a copy.
  void stop_sending() { unsent_ = {}; }
  void keep_unsent() {
    kept_ = unsent_;
    unsent_ = kept_;
  }

 private:
  void write_some();

  loop::Loop& loop_;
  sys::Fd fd_;
  std::string_view unsent_;
  std::string kept_;                // where it points to after keep_unsent()
  std::optional<loop::Poll> poll_;  // only if the pipe was full once
};

}  // namespace hearth::daemon
