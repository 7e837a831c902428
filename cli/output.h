// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace hearth::cli {

// Buffered bytes to a descriptor that this object does not own. A reader that has gone ends the
// command quietly (ReaderGone); any other refusal is a Failure. Destruction drops what was not
// flushed: a command that succeeds calls flush().
class Output {
 public:
  explicit Output(int fd) : fd_(fd) {}
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  void write(std::string_view bytes);
  void flush();
  bool is_terminal() const;

 private:
  int fd_;
  std::string buffer_;
};

// Standard output; main flushes it when the command is done.
Output& out();

// One line to standard error, control characters escaped. Never fails.
void note(std::string_view line);

// Columns and lines of the terminal behind `fd`; 80 x 24 when it does not say.
struct TerminalSize {
  size_t columns = 80, lines = 24;
};
TerminalSize terminal_size(int fd);

}  // namespace hearth::cli
