// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

// Reads a TOML text into variables by a table of the keys it may have: each key says its type, its
// bounds and where its value goes. Whatever is not in the table is refused, with the line, the
// column and the nearest key. function.toml and hearth.toml are both read this way; no other file
// includes the TOML library.
namespace hearth::settings {

struct Position {
  uint32_t line = 0, column = 0;  // from 1
};

struct Error {
  uint32_t line = 0, column = 0;
  std::string message;
  std::string limit, value;  // a broken bound: "memory_mb<=1024" and "4096"; else empty
};

// Says why a text is refused; an empty answer accepts it.
using Check = std::function<std::string(std::string_view)>;

struct Number {
  std::variant<uint32_t*, uint64_t*> to;
  uint64_t min = 0, max = UINT32_MAX;
};
struct Flag {
  bool* to;
};
struct Text {
  std::string* to;
  uint32_t bytes_max = 255;
  Check check;
};
// One of a few words, each with what is to happen when it is found.
struct Choice {
  std::vector<std::pair<std::string, std::function<void()>>> words;
  std::string initial;  // what the target says now
};
struct TextList {
  std::vector<std::string>* to;
  uint32_t items_max = 64;
  std::vector<std::string> words;  // each item is one of these, and none comes twice
};
// A table whose keys the writer of the file chooses.
struct TextMap {
  std::map<std::string, std::string>* to;
  uint64_t bytes_max = 0;  // all names and values together
  Check check_name;
};
struct Key;
struct Section {
  std::vector<Key> keys;
  std::function<void()> present;  // called before the keys are read
};

struct Key {
  std::string name;
  std::variant<Number, Flag, Text, Choice, TextList, TextMap, Section> rule;
  bool required = false;
};

template <typename Enum>
Choice choice(Enum* to, std::initializer_list<std::pair<const char*, Enum>> words) {
  Choice result;
  for (const auto& [word, value] : words) {
    result.words.emplace_back(word, [to, v = value] { *to = v; });
    if (*to == value) result.initial = word;
  }
  return result;
}

// Where values stand, by full name ("http.methods"), so that rules about two keys can point at one
// of them.
using Positions = std::map<std::string, Position, std::less<>>;

inline constexpr size_t kTextBytesMax = 64 * 1024;

// The first error in order of the text. The targets may have been changed all the same.
std::variant<Positions, Error> read(std::string_view text, const std::vector<Key>& keys);

// A key as a manual explains it.
struct KeyInfo {
  std::string name;  // full
  std::string
      range;  // "16 to 1024", "\"never\", \"sandbox\" or \"process\""; empty: any, or a section
  std::string initial;  // the target's value: the default; empty: none
};

// All keys and sections, in order of the table.
std::vector<KeyInfo> describe(const std::vector<Key>& keys);

// The word nearest to `word` if a slip of the fingers explains the difference, else empty.
std::string nearest(std::string_view word, const std::vector<std::string>& words);

// "a", "b" or "c", with the quotes.
std::string list_of(const std::vector<std::string>& words);

// `text` fit for a message: control characters escaped, cut after `bytes_max`.
std::string shown(std::string_view text, size_t bytes_max = 64);

}  // namespace hearth::settings
