// SPDX-License-Identifier: Apache-2.0
#include "daemon/settings/scan.h"

#include <fmt/format.h>

namespace hearth::settings {
namespace {

constexpr uint32_t kDotsMax = 128;
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

class Scan {
 public:
  explicit Scan(std::string_view text) : text_(text) {}

  std::optional<Error> run() {
    if (text_.starts_with(kByteOrderMark)) at_ = kByteOrderMark.size();
    for (; at_ < text_.size(); step()) {
      char c = text_[at_];
      if (c == '#') skip_comment();
      if (c == '"' || c == '\'') skip_string(c);
      if (c == '.' && ++dots_ > kDotsMax) return too_deep();
      if (static_cast<unsigned char>(c) >= 0x80) return not_ascii();
    }
    return std::nullopt;
  }

 private:
  bool ended() const { return at_ >= text_.size(); }
  bool has(std::string_view what) const { return text_.substr(at_).starts_with(what); }

  void step() {
    if (!ended() && text_[at_] == '\n') {
      ++line_;
      line_start_ = at_ + 1;
    }
    ++at_;
  }
  void step(size_t bytes) {
    while (bytes-- > 0) step();
  }

  // Both stop at the last byte of what they skip.
  void skip_comment() {
    while (at_ + 1 < text_.size() && text_[at_ + 1] != '\n') step();
  }

  void skip_string(char quote) {
    std::string end(3, quote);
    bool block = has(end);
    if (!block) end = quote;
    for (step(end.size()); !ended() && !has(end); step()) {
      if (text_[at_] == '\n' && !block) return;  // it is not closed on its line: no TOML
      if (text_[at_] == '\\' && quote == '"') step();
    }
    step(end.size() - 1);
    // A block may end in one or two quotes of its own.
    for (int own = 0; block && own < 2 && at_ + 1 < text_.size() && text_[at_ + 1] == quote; ++own)
      step();
  }

  Error error(std::string message, std::string limit = {}, std::string value = {}) const {
    auto column = static_cast<uint32_t>(at_ - line_start_ + 1);
    return {line_, column, std::move(message), std::move(limit), std::move(value)};
  }
  Error too_deep() const {
    return error(fmt::format("more than {} dots in keys: nested too deep", kDotsMax),
                 fmt::format("dots<={}", kDotsMax), "more");
  }
  Error not_ascii() const {
    return error("not valid TOML: outside strings and comments only ASCII may stand");
  }

  std::string_view text_;
  size_t at_ = 0, line_start_ = 0;
  uint32_t line_ = 1, dots_ = 0;
};

}  // namespace

std::optional<Error> scan(std::string_view text) {
  return Scan(text).run();
}

}  // namespace hearth::settings
