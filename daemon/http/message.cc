// SPDX-License-Identifier: Apache-2.0
#include "daemon/http/message.h"

#include "daemon/http/characters.h"
#include "sandbox/sys/error.h"

namespace hearth::http {
namespace {

constexpr std::size_t kFirstBytes = 256;  // a usual answer's headers fit: one allocation

}  // namespace

bool Headers::add(std::string_view name, std::string_view value) {
  if (name.empty() || !all_in(name, kToken) || !all_in(value, kValue)) return false;
  if (text_.empty()) text_.reserve(kFirstBytes);
  text_.append(name).append(": ").append(value).append("\r\n");
  ++count_;
  return true;
}

void Headers::set(std::string_view name, std::string_view value) {
  HEARTH_CHECK(add(name, value));
}

void Headers::clear() {
  text_.clear();
  count_ = 0;
}

std::optional<std::string_view> Headers::find(std::string_view name) const {
  std::string_view rest = text_;
  while (!rest.empty()) {
    std::size_t end = rest.find('\n');
    if (rest.size() > name.size() && rest[name.size()] == ':' &&
        same_letters(rest.substr(0, name.size()), name)) {
      return rest.substr(name.size() + 2, end - name.size() - 3);
    }
    rest.remove_prefix(end + 1);
  }
  return std::nullopt;
}

Headers::Iterator::value_type Headers::Iterator::operator*() const {
  std::size_t colon = rest_.find(':');
  return {rest_.substr(0, colon), rest_.substr(colon + 2, rest_.find('\n') - colon - 3)};
}

Headers::Iterator& Headers::Iterator::operator++() {
  rest_.remove_prefix(rest_.find('\n') + 1);
  return *this;
}

namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (lower(c) >= 'a' && lower(c) <= 'f') return lower(c) - 'a' + 10;
  return -1;
}

}  // namespace

std::optional<std::string> decode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    int high = hex_digit(text[i + 1]), low = hex_digit(text[i + 2]);
    if (high < 0 || low < 0 || high + low == 0) return std::nullopt;
    out += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return out;
}

std::optional<std::string> query_value(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    std::size_t end = std::min(query.find('&'), query.size());
    std::string_view pair = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    std::size_t equals = std::min(pair.find('='), pair.size());
    if (pair.substr(0, equals) != name) continue;
    std::string value(pair.substr(std::min(equals + 1, pair.size())));
    std::replace(value.begin(), value.end(), '+', ' ');
    return decode(value);
  }
  return std::nullopt;
}

}  // namespace hearth::http
