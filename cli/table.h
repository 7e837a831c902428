// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "cli/output.h"

namespace hearth::cli {

enum class Align { kLeft, kRight };
struct Heading {
  std::string text;
  Align align = Align::kLeft;
};

// Aligned columns for eyes. Widths come from the first rows; later rows are written as they come,
// so that a long list needs no memory. A column that is empty in all of the first rows is left out.
class Table {
 public:
  static constexpr size_t kRowsMeasured = 256;

  Table(Output& output, std::vector<Heading> headings);
  void add(std::vector<std::string> cells);  // as many as headings
  void finish();                             // writes what is still held back
  size_t rows() const { return rows_; }

 private:
  void measure();
  void write_row(const std::vector<std::string>& cells);

  Output& output_;
  std::vector<Heading> headings_;
  std::vector<std::vector<std::string>> held_;
  std::vector<size_t> widths_;  // 0: the column is left out
  bool measured_ = false;
  size_t rows_ = 0;
};

}  // namespace hearth::cli
