// SPDX-License-Identifier: Apache-2.0
#include "daemon/http/head.h"

#include <fmt/format.h>

#include <charconv>
#include <utility>

#include "daemon/http/characters.h"

namespace hearth::http {
namespace {

Refusal bad(std::string message) {
  return Refusal{.message = std::move(message)};
}

Refusal too_large(int status, std::string message, std::string_view limit, uint64_t value) {
  return Refusal{status, "too_large", "head", std::move(message), limit, value};
}

// The request line is the target, the longest method, two spaces, the version and CRLF.
constexpr std::size_t kRequestLineOverhead = 32;

// Calls fn(element) for each element of a comma-separated list.
template <typename Fn>
void each_element(std::string_view list, Fn fn) {
  while (!list.empty()) {
    std::size_t comma = std::min(list.find(','), list.size());
    std::string_view element = list.substr(0, comma);
    list.remove_prefix(std::min(comma + 1, list.size()));
    while (!element.empty() && (element.front() == ' ' || element.front() == '\t')) {
      element.remove_prefix(1);
    }
    while (!element.empty() && (element.back() == ' ' || element.back() == '\t')) {
      element.remove_suffix(1);
    }
    if (!element.empty()) fn(element);
  }
}

}  // namespace

void HeadScanner::reset(Begin begin) {
  next_ = line_begin_ = 0;
  lines_ = begin == Begin::kRequest ? 0 : 1;  // trailers have no request line before them
}

HeadScanner::Result HeadScanner::refuse(Refusal refusal) {
  refusal_ = std::move(refusal);
  return Result::kRefused;
}

HeadScanner::Result HeadScanner::scan(std::string_view head, const Limits& limits) {
  for (;;) {
    std::size_t line_feed = head.find('\n', next_);
    if (line_feed == std::string_view::npos) {
      next_ = head.size();
      return check_bounds(head.size(), limits);
    }
    if (line_feed == line_begin_ || head[line_feed - 1] != '\r') {
      return refuse(bad("a line of the head ends in a bare line feed"));
    }
    bool empty = line_feed - line_begin_ == 1;
    bool folded = head[line_begin_] == ' ' || head[line_begin_] == '\t';
    next_ = line_feed + 1;
    if (folded) return refuse(bad("a line of the head begins with a space"));
    if (check_bounds(next_, limits) == Result::kRefused) return Result::kRefused;
    if (empty && lines_ > 0) return Result::kEnd;
    bool first = line_begin_ == 0;
    line_begin_ = next_;
    if (empty && !first) return refuse(bad("more than one empty line before the request"));
    if (empty) continue;
    if (++lines_ > limits.headers_max + 1) {
      return refuse(too_large(431, "too many headers", "headers_max", limits.headers_max));
    }
  }
}

HeadScanner::Result HeadScanner::check_bounds(std::size_t bytes, const Limits& limits) {
  if (lines_ == 0 && bytes > limits.uri_bytes_max + kRequestLineOverhead) {
    return refuse(
        too_large(414, "the request line is too long", "uri_bytes_max", limits.uri_bytes_max));
  }
  if (bytes > limits.header_bytes_max) {
    return refuse(
        too_large(431, "the headers are too long", "header_bytes_max", limits.header_bytes_max));
  }
  return Result::kMore;
}

std::optional<Refusal> Framing::note(std::string_view name, std::string_view value) {
  if (name == "content-length") {
    if (content_length) return bad("more than one Content-Length");
    uint64_t length = 0;
    auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), length);
    // from_chars takes neither a sign nor spaces; "5, 5" stops early.
    if (error != std::errc() || end != value.data() + value.size()) {
      return bad(fmt::format("Content-Length is no length: '{}'", value.substr(0, 40)));
    }
    content_length = length;
  } else if (name == "transfer-encoding") {
    if (chunked) return bad("more than one Transfer-Encoding");
    if (!same_letters(value, "chunked")) {
      return Refusal{501, "not_implemented", "head",
                     fmt::format("no transfer coding but chunked: '{}'", value.substr(0, 40))};
    }
    chunked = true;
  } else if (name == "host") {
    if (host) return bad("more than one Host");
    if (!all_in(value, kHost)) return bad("Host is no authority");
    host = true;
  } else if (name == "connection") {
    each_element(value, [&](std::string_view option) {
      close |= same_letters(option, "close");
      keep_alive |= same_letters(option, "keep-alive");
    });
  } else if (name == "expect") {
    if (!same_letters(value, "100-continue")) {
      return Refusal{417, "bad_request", "head", "no expectation but 100-continue is known"};
    }
    expect_continue = true;
  } else if (name == "upgrade") {
    upgrade = true;
  }
  return std::nullopt;
}

std::optional<Refusal> Framing::check(int version_minor) const {
  if (chunked && content_length) return bad("Content-Length and Transfer-Encoding");
  if (chunked && version_minor == 0) return bad("Transfer-Encoding in HTTP/1.0");
  if (!host && version_minor == 1) return bad("Host is missing");
  if (upgrade) return Refusal{501, "not_implemented", "head", "no protocol upgrade"};
  return std::nullopt;
}

bool valid_trailers(std::string_view lines) {
  while (lines != "\r\n") {
    std::string_view line = lines.substr(0, lines.find('\r'));
    std::size_t colon = line.find(':');
    if (colon == 0 || colon == std::string_view::npos || !all_in(line.substr(0, colon), kToken) ||
        !all_in(line.substr(colon), kValue) || lines[line.size() + 1] != '\n') {
      return false;
    }
    lines.remove_prefix(line.size() + 2);
  }
  return true;
}

std::optional<Refusal> split_target(Request& request) {
  std::string_view rest = request.target;
  if (!all_in(rest, kTarget)) return bad("a character in the request target is not allowed");
  if (rest == "*" && request.method == "OPTIONS") {
    request.path = "*";
    return std::nullopt;
  }
  if (rest.empty() || rest[0] != '/') {
    std::size_t scheme = rest.find("://");
    if (scheme == std::string_view::npos || !(same_letters(rest.substr(0, scheme), "http") ||
                                              same_letters(rest.substr(0, scheme), "https"))) {
      return bad("the request target is neither a path nor an http URL");
    }
    rest.remove_prefix(scheme + 3);
    std::size_t authority = std::min(rest.find_first_of("/?"), rest.size());
    if (authority == 0 || !all_in(rest.substr(0, authority), kHost)) {
      return bad("the request target has no valid host");
    }
    rest.remove_prefix(authority);
  }
  std::size_t question = std::min(rest.find('?'), rest.size());
  request.path.assign(rest.substr(0, question));
  if (request.path.empty()) request.path = "/";
  request.query.assign(rest.substr(std::min(question + 1, rest.size())));
  return std::nullopt;
}

}  // namespace hearth::http
