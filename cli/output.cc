// SPDX-License-Identifier: Apache-2.0
#include "cli/output.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "cli/failure.h"
#include "cli/text.h"

namespace hearth::cli {
namespace {

constexpr size_t kBufferBytes = 64 * 1024;

}  // namespace

void Output::write(std::string_view bytes) {
  buffer_ += bytes;
  if (buffer_.size() >= kBufferBytes) flush();
}

void Output::flush() {
  std::string_view rest = buffer_;
  while (!rest.empty()) {
    ssize_t n = ::write(fd_, rest.data(), rest.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      int code = errno;
      buffer_.clear();
      if (code == EPIPE) throw ReaderGone{};
      throw Failure(Status::kRefused,
                    std::string("cannot write the output: ") + std::strerror(code));
    }
    rest.remove_prefix(static_cast<size_t>(n));
  }
  buffer_.clear();
}

bool Output::is_terminal() const {
  return ::isatty(fd_) == 1;
}

Output& out() {
  static Output output(STDOUT_FILENO);
  return output;
}

void note(std::string_view line) {
  std::string text = escape_controls(line, "\n\t") + "\n";
  std::string_view rest = text;
  while (!rest.empty()) {
    ssize_t n = ::write(STDERR_FILENO, rest.data(), rest.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;  // nowhere left to say so
    rest.remove_prefix(static_cast<size_t>(n));
  }
}

TerminalSize terminal_size(int fd) {
  struct winsize size {};
  if (::ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return {};
  return {size.ws_col, size.ws_row};
}

}  // namespace hearth::cli
