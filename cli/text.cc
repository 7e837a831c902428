// SPDX-License-Identifier: Apache-2.0
#include "cli/text.h"

#include <fmt/format.h>

namespace hearth::cli {
namespace {

// U+0080 to U+009F are control characters too (C1): 0xc2 followed by 0x80 to 0x9f in UTF-8.
bool is_c1(std::string_view text, size_t i) {
  return static_cast<unsigned char>(text[i]) == 0xc2 && i + 1 < text.size() &&
         static_cast<unsigned char>(text[i + 1]) >= 0x80 &&
         static_cast<unsigned char>(text[i + 1]) <= 0x9f;
}

}  // namespace

std::string escape_controls(std::string_view text, std::string_view keep) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    auto c = static_cast<unsigned char>(text[i]);
    if (is_c1(text, i)) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned char>(text[++i]));
    } else if (keep.find(text[i]) != std::string_view::npos || (c >= 0x20 && c != 0x7f)) {
      out += text[i];
    } else {
      out += fmt::format("\\x{:02x}", c);
    }
  }
  return out;
}

std::string one_line(std::string_view text) {
  while (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  std::string joined;
  for (char c : text) {
    if (c == '\n') {
      joined += " | ";
    } else {
      joined += c;
    }
  }
  return escape_controls(joined);
}

size_t width_of(std::string_view text) {
  size_t width = 0;
  for (unsigned char c : text)
    if ((c & 0xc0) != 0x80) ++width;
  return width;
}

}  // namespace hearth::cli
