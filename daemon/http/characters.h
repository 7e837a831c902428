// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>

// The character classes of RFC 9110 and 9112.
namespace hearth::http {

enum CharacterClass : uint8_t {
  kToken = 1,   // header names and methods
  kValue = 2,   // header values: no control character but the tab
  kTarget = 4,  // request targets: visible ASCII but '#' (wider than the RFC, as clients are)
  kHost = 8,    // authorities: unreserved, sub-delims, '%', ':', '[', ']'
};

constexpr std::array<uint8_t, 256> make_character_table() {
  std::array<uint8_t, 256> table{};
  for (unsigned c = 0; c < 256; ++c) {
    bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    auto in = [c](std::string_view set) {
      return c < 128 && set.find(static_cast<char>(c)) != std::string_view::npos;
    };
    uint8_t classes = 0;
    if (alnum || in("!#$%&'*+-.^_`|~")) classes |= kToken;
    if (c == '\t' || (c >= 0x20 && c != 0x7f)) classes |= kValue;
    if (c > 0x20 && c < 0x7f && c != '#') classes |= kTarget;
    if (alnum || in("-._~!$&'()*+,;=%:[]")) classes |= kHost;
    table[c] = classes;
  }
  return table;
}
inline constexpr std::array<uint8_t, 256> kCharacters = make_character_table();

constexpr bool all_in(std::string_view text, CharacterClass wanted) {
  return std::all_of(text.begin(), text.end(), [wanted](char c) {
    return (kCharacters[static_cast<unsigned char>(c)] & wanted) != 0;
  });
}

constexpr char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
}

constexpr bool same_letters(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

}  // namespace hearth::http
