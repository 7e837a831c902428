// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace hearth::cli {

// Cuts a JSON array that arrives in pieces into its elements, so that a list of any length needs
// only one element's memory. It looks at brackets and strings only: each element is parsed by
// whoever takes it.
class RowSplitter {
 public:
  static constexpr size_t kRowBytesMax = 8u << 20;

  explicit RowSplitter(std::function<void(std::string_view)> on_row) : on_row_(std::move(on_row)) {}

  void feed(std::string_view bytes);  // throws Failure when this is no array or a row is too large
  void finish() const;                // throws Failure when the array is not complete

 private:
  void take(char c);
  void end_row();

  std::function<void(std::string_view)> on_row_;
  std::string row_;
  size_t depth_ = 0;  // 1: between the elements
  bool in_string_ = false, escaped_ = false, done_ = false;
};

// The same for lines (NDJSON).
class LineSplitter {
 public:
  explicit LineSplitter(std::function<void(std::string_view)> on_line)
      : on_line_(std::move(on_line)) {}
  void feed(std::string_view bytes);
  void finish();  // a last line without its newline

 private:
  std::function<void(std::string_view)> on_line_;
  std::string line_;
};

}  // namespace hearth::cli
