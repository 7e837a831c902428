// SPDX-License-Identifier: Apache-2.0
#include "cli/progress.h"

#include <unistd.h>

#include "cli/output.h"
#include "cli/text.h"

namespace hearth::cli {
namespace {

constexpr std::chrono::milliseconds kInterval{100};

void write_stderr(const std::string& text) {
  (void)!::write(STDERR_FILENO, text.data(), text.size());  // only a person's comfort is lost
}

}  // namespace

Progress::Progress(std::chrono::milliseconds quiet)
    : start_(std::chrono::steady_clock::now()),
      next_(start_ + quiet),
      terminal_(::isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() {
  clear();
}

void Progress::show(const std::string& text) {
  auto now = std::chrono::steady_clock::now();
  if (!terminal_ || now < next_) return;
  next_ = now + kInterval;
  shown_ = true;
  write_stderr("\r\033[K" + one_line(text).substr(0, terminal_size(STDERR_FILENO).columns - 1));
}

void Progress::clear() {
  if (shown_) write_stderr("\r\033[K");
  shown_ = false;
}

std::chrono::seconds Progress::elapsed() const {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now() -
                                                          start_);
}

}  // namespace hearth::cli
