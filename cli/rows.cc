// SPDX-License-Identifier: Apache-2.0
#include "cli/rows.h"

#include <fmt/format.h>

#include "cli/failure.h"

namespace hearth::cli {
namespace {

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

Failure too_large(const char* what) {
  return Failure(Status::kRefused, fmt::format("hearthd sent a {} of more than {} bytes", what,
                                               RowSplitter::kRowBytesMax));
}

}  // namespace

void RowSplitter::feed(std::string_view bytes) {
  for (char c : bytes) take(c);
}

void RowSplitter::take(char c) {
  if (in_string_) {
    row_ += c;
    if (row_.size() > kRowBytesMax) throw too_large("row");
    if (escaped_) {
      escaped_ = false;
    } else if (c == '\\') {
      escaped_ = true;
    } else if (c == '"') {
      in_string_ = false;
    }
    return;
  }
  if (is_space(c)) return;
  if (done_ || (depth_ == 0 && c != '['))
    throw Failure(Status::kRefused,
                  "hearthd sent something else than a list; is this the socket of hearthd?");
  if (depth_ == 0) {
    depth_ = 1;
    return;
  }
  if (depth_ == 1 && (c == ',' || c == ']')) {
    end_row();
    if (c == ']') done_ = true;
    return;
  }
  row_ += c;
  if (row_.size() > kRowBytesMax) throw too_large("row");
  if (c == '"') in_string_ = true;
  if (c == '[' || c == '{') ++depth_;
  if (c == ']' || c == '}') --depth_;
}

void RowSplitter::end_row() {
  if (row_.empty()) return;
  on_row_(row_);
  row_.clear();
}

void RowSplitter::finish() const {
  if (!done_) throw Failure(Status::kRefused, "the list that hearthd sent is not complete");
}

void LineSplitter::feed(std::string_view bytes) {
  while (!bytes.empty()) {
    size_t end = bytes.find('\n');
    line_ += bytes.substr(0, end);
    if (line_.size() > RowSplitter::kRowBytesMax) throw too_large("line");
    if (end == std::string_view::npos) return;
    if (!line_.empty()) on_line_(line_);
    line_.clear();
    bytes.remove_prefix(end + 1);
  }
}

void LineSplitter::finish() {
  if (!line_.empty()) on_line_(line_);
  line_.clear();
}

}  // namespace hearth::cli
