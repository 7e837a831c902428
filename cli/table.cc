// SPDX-License-Identifier: Apache-2.0
#include "cli/table.h"

#include <algorithm>

#include "cli/text.h"

namespace hearth::cli {

Table::Table(Output& output, std::vector<Heading> headings)
    : output_(output), headings_(std::move(headings)) {}

void Table::add(std::vector<std::string> cells) {
  cells.resize(headings_.size());
  for (std::string& cell : cells) cell = one_line(cell);
  ++rows_;
  if (measured_) return write_row(cells);
  held_.push_back(std::move(cells));
  if (held_.size() >= kRowsMeasured) measure();
}

void Table::finish() {
  if (!measured_ && !held_.empty()) measure();
}

void Table::measure() {
  widths_.assign(headings_.size(), 0);
  for (const auto& cells : held_)
    for (size_t i = 0; i < cells.size(); ++i) widths_[i] = std::max(widths_[i], width_of(cells[i]));
  std::vector<std::string> titles;
  for (size_t i = 0; i < headings_.size(); ++i) {
    titles.push_back(headings_[i].text);
    if (widths_[i] > 0) widths_[i] = std::max(widths_[i], width_of(titles.back()));
  }
  measured_ = true;
  write_row(titles);
  for (const auto& cells : held_) write_row(cells);
  held_.clear();
}

void Table::write_row(const std::vector<std::string>& cells) {
  std::string line;
  for (size_t i = 0; i < cells.size(); ++i) {
    if (widths_[i] == 0) continue;
    if (!line.empty()) line += "  ";
    const std::string cell = cells[i].empty() ? "-" : cells[i];
    size_t width = width_of(cell);
    std::string gap(widths_[i] > width ? widths_[i] - width : 0, ' ');
    line += headings_[i].align == Align::kRight ? gap + cell : cell + gap;
  }
  while (!line.empty() && line.back() == ' ') line.pop_back();
  output_.write(line + "\n");
}

}  // namespace hearth::cli
