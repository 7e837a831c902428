// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "daemon/settings/reader.h"

namespace hearth::settings {
namespace {

// Insertions, deletions, replacements and swaps of neighbours that lead from one word to the other.
size_t edits(std::string_view a, std::string_view b) {
  std::vector<size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  std::iota(last.begin(), last.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      size_t replaced = last[j - 1] + (a[i - 1] != b[j - 1]);
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, replaced});
      bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    std::swap(before, last);
    std::swap(last, row);
  }
  return last[b.size()];
}

}  // namespace

std::string nearest(std::string_view word, const std::vector<std::string>& words) {
  if (word.size() > 64) return {};
  std::string best;
  size_t best_edits = SIZE_MAX;
  for (const std::string& candidate : words) {
    size_t distance = edits(word, candidate);
    // A third of the word may be wrong; more is another word.
    if (distance * 3 > std::max(candidate.size(), word.size())) continue;
    if (distance < best_edits) best = candidate;
    best_edits = std::min(best_edits, distance);
  }
  return best;
}

std::string shown(std::string_view text, size_t bytes_max) {
  bool cut = text.size() > bytes_max;
  if (cut) {
    // Not in the middle of a UTF-8 sequence.
    while (bytes_max > 0 && (static_cast<unsigned char>(text[bytes_max]) & 0xc0) == 0x80)
      --bytes_max;
    text = text.substr(0, bytes_max);
  }
  std::string out;
  for (unsigned char c : text) {
    if (c < 0x20 || c == 0x7f) {
      out += fmt::format("\\x{:02x}", c);
    } else {
      out += static_cast<char>(c);
    }
  }
  return cut ? out + "…" : out;
}

}  // namespace hearth::settings
