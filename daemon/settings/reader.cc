// SPDX-License-Identifier: Apache-2.0
#include "daemon/settings/reader.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <optional>
#include <set>

#include "daemon/settings/scan.h"

namespace hearth::settings {
namespace {

Error refuse(const ::toml::source_region& where, std::string message, std::string limit = {},
             std::string value = {}) {
  return {where.begin.line, where.begin.column, std::move(message), std::move(limit),
          std::move(value)};
}

std::string type_name(const ::toml::node& node) {
  switch (node.type()) {
    case ::toml::node_type::table:
      return "a table";
    case ::toml::node_type::array:
      return "a list";
    case ::toml::node_type::string:
      return "a string";
    case ::toml::node_type::integer:
      return "an integer";
    case ::toml::node_type::floating_point:
      return "a number with a fraction";
    case ::toml::node_type::boolean:
      return "true or false";
    default:
      return "a date or time";
  }
}

Error wrong_type(const ::toml::node& node, const std::string& name, std::string_view wanted) {
  return refuse(node.source(),
                fmt::format("'{}' must be {}, but is {}", name, wanted, type_name(node)));
}

Error unknown_word(const ::toml::node& node, const std::string& name, const std::string& word,
                   const std::vector<std::string>& words) {
  std::string near = nearest(word, words);
  std::string hint = near.empty() ? "" : fmt::format("; did you mean \"{}\"?", near);
  return refuse(node.source(), fmt::format("'{}' must be {}, but is \"{}\"{}", name, list_of(words),
                                           shown(word), hint));
}

// What every string must be, whatever it is for. TOML has checked that it is UTF-8.
std::optional<Error> check_text(const ::toml::node& node, const std::string& name,
                                const std::string& text, uint64_t bytes_max) {
  if (text.size() > bytes_max) {
    return refuse(
        node.source(),
        fmt::format("'{}' has {} bytes, at most {} are allowed", name, text.size(), bytes_max),
        fmt::format("{} bytes<={}", name, bytes_max), std::to_string(text.size()));
  }
  if (text.find('\0') == std::string::npos) return std::nullopt;
  return refuse(node.source(), fmt::format("'{}' contains a NUL byte", name));
}

class Reading {
 public:
  explicit Reading(const std::vector<Key>& root) : root_(root) {}

  void table(const ::toml::table& table, const std::vector<Key>& keys, const std::string& prefix);
  std::variant<Positions, Error> result();

 private:
  void unknown(const ::toml::key& key, const std::vector<Key>& keys, const std::string& prefix);
  void value(const ::toml::node& node, const std::string& name, const Number& rule);
  void value(const ::toml::node& node, const std::string& name, const Flag& rule);
  void value(const ::toml::node& node, const std::string& name, const Text& rule);
  void value(const ::toml::node& node, const std::string& name, const Choice& rule);
  void value(const ::toml::node& node, const std::string& name, const TextList& rule);
  void value(const ::toml::node& node, const std::string& name, const TextMap& rule);
  void value(const ::toml::node& node, const std::string& name, const Section& rule);
  void missing(const ::toml::table& table, const std::vector<Key>& keys, const std::string& prefix);
  bool is_top_level(std::string_view name) const;

  const std::vector<Key>& root_;
  Positions positions_;
  std::vector<Error> errors_,
      missing_;  // a misspelt key explains a missing one, so it is told first
};

bool Reading::is_top_level(std::string_view name) const {
  return std::any_of(root_.begin(), root_.end(), [&](const Key& key) { return key.name == name; });
}

void Reading::table(const ::toml::table& table, const std::vector<Key>& keys,
                    const std::string& prefix) {
  for (auto&& [key, node] : table) {
    auto known = std::find_if(keys.begin(), keys.end(),
                              [&name = key](const Key& k) { return k.name == name.str(); });
    if (known == keys.end()) {
      unknown(key, keys, prefix);
      continue;
    }
    std::string name = prefix + known->name;
    positions_[name] = {node.source().begin.line, node.source().begin.column};
    std::visit([&, &n = node](const auto& rule) { value(n, name, rule); }, known->rule);
  }
  missing(table, keys, prefix);
}

void Reading::missing(const ::toml::table& table, const std::vector<Key>& keys,
                      const std::string& prefix) {
  for (const Key& key : keys) {
    if (!key.required || table.contains(key.name)) continue;
    Position at = prefix.empty() ? Position{1, 1}
                                 : Position{table.source().begin.line, table.source().begin.column};
    missing_.push_back(
        {at.line, at.column, fmt::format("missing key '{}{}'", prefix, key.name), {}, {}});
  }
}

void Reading::unknown(const ::toml::key& key, const std::vector<Key>& keys,
                      const std::string& prefix) {
  std::vector<std::string> known;
  for (const Key& k : keys) known.push_back(k.name);
  std::string hint;
  std::string word(key.str());
  if (std::string near = nearest(word, known); !near.empty()) {
    hint = fmt::format("; did you mean '{}{}'?", prefix, near);
  } else if (!prefix.empty() && is_top_level(word)) {
    hint = "; it belongs above the first [section]";
  }
  for (const Key& k : root_) {
    auto* section = std::get_if<Section>(&k.rule);
    if (!hint.empty() || !section) continue;
    for (const Key& inner : section->keys) {
      if (inner.name == word) hint = fmt::format("; it belongs in [{}]", k.name);
    }
  }
  errors_.push_back(
      refuse(key.source(), fmt::format("unknown key '{}{}'{}", prefix, shown(word), hint)));
}

void Reading::value(const ::toml::node& node, const std::string& name, const Number& rule) {
  auto* integer = node.as_integer();
  if (!integer) return errors_.push_back(wrong_type(node, name, "an integer"));
  int64_t found = integer->get();
  if (found < 0 || static_cast<uint64_t>(found) < rule.min) {
    return errors_.push_back(refuse(
        node.source(), fmt::format("'{}' is {}, it must be at least {}", name, found, rule.min),
        fmt::format("{}>={}", name, rule.min), std::to_string(found)));
  }
  if (static_cast<uint64_t>(found) > rule.max) {
    return errors_.push_back(refuse(
        node.source(), fmt::format("'{}' is {}, at most {} is allowed", name, found, rule.max),
        fmt::format("{}<={}", name, rule.max), std::to_string(found)));
  }
  std::visit([&](auto* to) { *to = static_cast<std::remove_pointer_t<decltype(to)>>(found); },
             rule.to);
}

void Reading::value(const ::toml::node& node, const std::string& name, const Flag& rule) {
  auto* flag = node.as_boolean();
  if (!flag) return errors_.push_back(wrong_type(node, name, "true or false"));
  *rule.to = flag->get();
}

void Reading::value(const ::toml::node& node, const std::string& name, const Text& rule) {
  auto* text = node.as_string();
  if (!text) return errors_.push_back(wrong_type(node, name, "a string"));
  if (auto error = check_text(node, name, text->get(), rule.bytes_max)) {
    return errors_.push_back(std::move(*error));
  }
  if (std::string reason = rule.check ? rule.check(text->get()) : ""; !reason.empty()) {
    return errors_.push_back(
        refuse(node.source(), fmt::format("'{}' is \"{}\": {}", name, shown(text->get()), reason)));
  }
  *rule.to = text->get();
}

void Reading::value(const ::toml::node& node, const std::string& name, const Choice& rule) {
  std::vector<std::string> words;
  for (const auto& [word, chosen] : rule.words) words.push_back(word);
  auto* text = node.as_string();
  if (!text) return errors_.push_back(wrong_type(node, name, list_of(words)));
  for (const auto& [word, chosen] : rule.words) {
    if (word == text->get()) return chosen();
  }
  errors_.push_back(unknown_word(node, name, text->get(), words));
}

void Reading::value(const ::toml::node& node, const std::string& name, const TextList& rule) {
  auto* list = node.as_array();
  if (!list) return errors_.push_back(wrong_type(node, name, "a list of strings"));
  if (list->empty()) {
    return errors_.push_back(
        refuse(node.source(), fmt::format("'{}' is empty; leave it out for the default", name)));
  }
  if (list->size() > rule.items_max) {
    return errors_.push_back(refuse(node.source(),
                                    fmt::format("'{}' has {} items, at most {} are allowed", name,
                                                list->size(), rule.items_max),
                                    fmt::format("{} items<={}", name, rule.items_max),
                                    std::to_string(list->size())));
  }
  std::set<std::string> seen;
  for (const ::toml::node& item : *list) {
    auto* text = item.as_string();
    if (!text) return errors_.push_back(wrong_type(item, name, "a list of strings"));
    if (std::find(rule.words.begin(), rule.words.end(), text->get()) == rule.words.end()) {
      return errors_.push_back(unknown_word(item, name, text->get(), rule.words));
    }
    if (!seen.insert(text->get()).second) {
      return errors_.push_back(
          refuse(item.source(), fmt::format("'{}' has \"{}\" twice", name, shown(text->get()))));
    }
    rule.to->push_back(text->get());
  }
}

void Reading::value(const ::toml::node& node, const std::string& name, const TextMap& rule) {
  auto* table = node.as_table();
  if (!table) return errors_.push_back(wrong_type(node, name, fmt::format("a table, [{}]", name)));
  uint64_t bytes = 0;
  for (auto&& [key, item] : *table) {
    std::string word(key.str());
    std::string full = fmt::format("{}.{}", name, shown(word));
    if (is_top_level(word)) {
      errors_.push_back(
          refuse(key.source(), fmt::format("'{}' stands in [{}]; the key '{}' belongs above the "
                                           "first [section]",
                                           full, name, word)));
      continue;
    }
    if (std::string reason = rule.check_name(word); !reason.empty()) {
      errors_.push_back(refuse(key.source(), fmt::format("'{}': {}", full, reason)));
      continue;
    }
    auto* text = item.as_string();
    if (!text) {
      errors_.push_back(wrong_type(item, full, "a string"));
      continue;
    }
    if (auto error = check_text(item, full, text->get(), rule.bytes_max)) {
      errors_.push_back(std::move(*error));
      continue;
    }
    bytes += word.size() + text->get().size() + 2;  // as environ(7) keeps it: NAME=value NUL
    (*rule.to)[word] = text->get();
  }
  if (bytes <= rule.bytes_max) return;
  errors_.push_back(
      refuse(node.source(),
             fmt::format("[{}] has {} bytes, at most {} are allowed", name, bytes, rule.bytes_max),
             fmt::format("{} bytes<={}", name, rule.bytes_max), std::to_string(bytes)));
}

void Reading::value(const ::toml::node& node, const std::string& name, const Section& rule) {
  auto* inner = node.as_table();
  if (!inner) return errors_.push_back(wrong_type(node, name, fmt::format("a table, [{}]", name)));
  if (rule.present) rule.present();
  table(*inner, rule.keys, name + ".");
}

std::variant<Positions, Error> Reading::result() {
  std::vector<Error>& errors = errors_.empty() ? missing_ : errors_;
  if (errors.empty()) return std::move(positions_);
  return *std::min_element(errors.begin(), errors.end(), [](const Error& a, const Error& b) {
    return std::pair(a.line, a.column) < std::pair(b.line, b.column);
  });
}

// "Error while parsing key-value pair: cannot redefine existing string 'name'" says it to a
// library's user.
Error syntax_error(const ::toml::parse_error& error) {
  std::string text(error.description());
  constexpr std::string_view kPrefix = "Error while parsing ";
  if (text.starts_with(kPrefix)) text.erase(0, kPrefix.size());
  if (size_t at = text.find("cannot redefine existing"); at != std::string::npos) {
    size_t open = text.find('\'', at), close = text.find('\'', open + 1);
    if (close != std::string::npos)
      text = fmt::format("{} is given twice", text.substr(open, close + 1 - open));
  }
  return refuse(error.source(), "not valid TOML: " + shown(text, 200));
}

}  // namespace

std::variant<Positions, Error> read(std::string_view text, const std::vector<Key>& keys) {
  if (text.size() > kTextBytesMax) {
    return Error{
        1, 1,
        fmt::format("the file has {} bytes, at most {} are allowed", text.size(), kTextBytesMax),
        fmt::format("bytes<={}", kTextBytesMax), std::to_string(text.size())};
  }
  if (auto error = scan(text)) return std::move(*error);
  try {
    ::toml::table table = ::toml::parse(text);
    Reading reading(keys);
    reading.table(table, keys, "");
    return reading.result();
  } catch (const ::toml::parse_error& error) {
    return syntax_error(error);
  }
}

}  // namespace hearth::settings
