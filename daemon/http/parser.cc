// SPDX-License-Identifier: Apache-2.0
#include "daemon/http/parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "daemon/http/characters.h"
#include "sandbox/sys/error.h"

namespace hearth::http {
namespace {

constexpr std::size_t kRequestLineRest = sizeof("  HTTP/1.1") - 1;
constexpr std::size_t kInPlaceMin = std::size_t{16}
                                    << 10;  // below that a copy is cheaper than another read
constexpr std::size_t kInPlaceStep = std::size_t{256} << 10;
// Capacity that a connection keeps between requests.
constexpr std::size_t kKeptTextBytes = std::size_t{2} << 10;
constexpr std::size_t kKeptBodyBytes = std::size_t{16} << 10;

constexpr std::array<std::string_view, 7> kMethods{"GET",   "POST",   "PUT",    "HEAD",
                                                   "PATCH", "DELETE", "OPTIONS"};

// Extends a span that llhttp may report in pieces. False: the pieces do not join.
bool extend(std::string_view& span, const char* at, std::size_t bytes) {
  if (span.empty()) {
    span = {at, bytes};
    return true;
  }
  if (span.data() + span.size() != at) return false;
  span = {span.data(), span.size() + bytes};
  return true;
}

// Empties a string. A large buffer is given back: assigning an empty string would keep it.
void recycle(std::string& text, std::size_t kept_bytes) {
  if (text.capacity() > kept_bytes) std::string().swap(text);
  text.clear();
}

Refusal refusal_of(const llhttp_t& llhttp) {
  switch (llhttp_get_errno(&llhttp)) {
    case HPE_INVALID_VERSION:
    case HPE_PAUSED_H2_UPGRADE:
      return {505, "bad_request", "head", "only HTTP/1.0 and HTTP/1.1 are spoken"};
    default: {
      const char* reason = llhttp_get_error_reason(&llhttp);
      return {.message = reason && *reason ? reason : "malformed"};
    }
  }
}

}  // namespace

const llhttp_settings_t& Parser::settings() {
  static const llhttp_settings_t callbacks = [] {
    llhttp_settings_t s;
    llhttp_settings_init(&s);
    s.on_url = [](llhttp_t* p, const char* at, size_t n) {
      of(p).request_.target.append(at, n);
      return 0;
    };
    s.on_header_field = [](llhttp_t* p, const char* at, size_t n) {
      return extend(of(p).name_, at, n) ? 0 : -1;
    };
    s.on_header_value = [](llhttp_t* p, const char* at, size_t n) {
      return extend(of(p).value_, at, n) ? 0 : -1;
    };
    s.on_header_value_complete = [](llhttp_t* p) { return of(p).store_header(); };
    s.on_headers_complete = [](llhttp_t* p) {
      of(p).headers_complete_ = true;
      return 0;
    };
    s.on_body = [](llhttp_t* p, const char* at, size_t n) { return of(p).take_body(at, n); };
    s.on_message_complete = [](llhttp_t* p) {
      of(p).message_complete_ = true;
      return 0;
    };
    s.on_chunk_header = [](llhttp_t* p) { return of(p).begin_chunk(p->content_length); };
    return s;
  }();
  return callbacks;
}

Parser::Parser(const Limits& limits, Request& request) : limits_(limits), request_(request) {
  llhttp_init(&llhttp_, HTTP_REQUEST, &settings());
  llhttp_.data = this;
}

bool Parser::keep_alive() const {
  if (state_ == State::kRefused || framing_.close) return false;
  return request_.version_minor == 1 || framing_.keep_alive;
}

uint64_t Parser::buffered_bytes() const {
  uint64_t body = request_.body_file ? 0 : received_;
  return lines_.size() + request_.headers.text().size() + request_.target.size() + body;
}

void Parser::release_body() {
  recycle(request_.body, kKeptBodyBytes);
  recycle(lines_, kKeptTextBytes);
  received_ = 0;
}

void Parser::next() {
  request_.method.clear();
  request_.version_minor = 1;
  recycle(request_.target, kKeptTextBytes);
  recycle(request_.path, kKeptTextBytes);
  recycle(request_.query, kKeptTextBytes);
  recycle(request_.headers.text_, kKeptTextBytes);
  request_.headers.count_ = 0;
  recycle(request_.body, kKeptBodyBytes);
  request_.body_file.reset();
  state_ = State::kHead;
  scanner_.reset(HeadScanner::Begin::kRequest);
  recycle(lines_, kKeptTextBytes);
  last_chunk_ = false;
  framing_ = Framing();
  received_ = before_piece_ = 0;
}

void Parser::refuse(Refusal refusal) {
  refusal_ = std::move(refusal);
  state_ = State::kRefused;
}

std::size_t Parser::feed(std::string_view data) {
  std::size_t used = 0;
  while (used < data.size()) {
    if (state_ == State::kHead) {
      used += feed_head(data.substr(used));
    } else if (state_ == State::kBody) {
      used += feed_body(data.substr(used));
    } else {
      break;
    }
  }
  return used;
}

// Collects lines up to the empty one that ends them. nullopt: more is needed, or the lines are
// refused.
std::optional<std::string_view> Parser::gather(std::string_view data, std::size_t& used) {
  // The usual head comes in one piece and is parsed where it lies.
  std::string_view lines = data;
  std::size_t before = lines_.size();
  if (before > 0) {
    lines_.append(data.substr(0, limits_.header_bytes_max + 1 - before));
    lines = lines_;
  }
  used = lines.size() - before;
  switch (scanner_.scan(lines, limits_)) {
    case HeadScanner::Result::kRefused:
      refuse(scanner_.refusal());
      break;
    case HeadScanner::Result::kMore:
      if (before == 0) lines_.assign(lines);
      break;
    case HeadScanner::Result::kEnd:
      used = scanner_.end() - before;
      return lines.substr(0, scanner_.end());
  }
  return std::nullopt;
}

std::size_t Parser::feed_head(std::string_view data) {
  std::size_t used = 0;
  if (std::optional<std::string_view> head = gather(data, used)) {
    parse_head(*head);
    lines_.clear();
  }
  return used;
}

// llhttp would take a bare line feed and a folded line here.
std::size_t Parser::feed_trailers(std::string_view data) {
  std::size_t used = 0;
  if (std::optional<std::string_view> trailers = gather(data, used)) {
    if (!valid_trailers(*trailers)) {
      refuse({.stage = "body", .message = "a trailer is malformed"});
    } else {
      state_ = State::kComplete;
    }
  }
  return used;
}

void Parser::parse_head(std::string_view head) {
  llhttp_reset(&llhttp_);
  headers_complete_ = message_complete_ = false;
  if (head.starts_with("\r\n")) head.remove_prefix(2);
  name_ = value_ = {};
  llhttp_errno_t rc = llhttp_execute(&llhttp_, head.data(), head.size());
  if (state_ == State::kRefused) return;
  if (!headers_complete_) {
    return refuse(rc == HPE_OK ? Refusal{.message = "malformed"} : refusal_of(llhttp_));
  }
  if (std::optional<Refusal> refusal = check_head(head)) return refuse(std::move(*refusal));
  if (rc != HPE_OK) return refuse(refusal_of(llhttp_));
  // Both readers must agree on whether and how a body follows.
  bool chunked = (llhttp_.flags & F_CHUNKED) != 0 && !message_complete_;
  if (chunked != framing_.chunked || message_complete_ == has_body()) {
    return refuse({.message = "the framing of the body is ambiguous"});
  }
  state_ = State::kAdmit;
}

std::optional<Refusal> Parser::check_head(std::string_view head) {
  request_.method = llhttp_method_name(static_cast<llhttp_method_t>(llhttp_.method));
  if (std::find(kMethods.begin(), kMethods.end(), request_.method) == kMethods.end()) {
    return Refusal{405, "method_not_allowed", "head",
                   fmt::format("the method {} is not served", request_.method)};
  }
  if (llhttp_.http_major != 1 || llhttp_.http_minor > 1) {
    return Refusal{505, "bad_request", "head", "only HTTP/1.0 and HTTP/1.1 are spoken"};
  }
  request_.version_minor = llhttp_.http_minor;
  // One space each: llhttp takes more.
  if (head.find('\r') != request_.method.size() + request_.target.size() + kRequestLineRest ||
      head.substr(request_.method.size() + 1, request_.target.size()) != request_.target) {
    return Refusal{.message = "the request line is malformed"};
  }
  if (request_.target.size() > limits_.uri_bytes_max) {
    return Refusal{414,
                   "too_large",
                   "head",
                   "the request target is too long",
                   "uri_bytes_max",
                   limits_.uri_bytes_max};
  }
  if (std::optional<Refusal> refusal = framing_.check(request_.version_minor)) return refusal;
  return split_target(request_);
}

int Parser::store_header() {
  while (!value_.empty() && (value_.back() == ' ' || value_.back() == '\t'))
    value_.remove_suffix(1);
  if (name_.empty() || !all_in(name_, kToken) || !all_in(value_, kValue)) {
    refuse({.message = "a header has a character that is not allowed"});
    return -1;
  }
  std::string& text = request_.headers.text_;
  std::size_t begin = text.size();
  text.append(name_);
  for (std::size_t i = begin; i < text.size(); ++i) text[i] = lower(text[i]);
  std::string_view name(text.data() + begin, name_.size());
  if (std::optional<Refusal> refusal = framing_.note(name, value_)) {
    refuse(std::move(*refusal));
    return -1;
  }
  text.append(": ").append(value_).append("\r\n");
  ++request_.headers.count_;
  name_ = value_ = {};
  return 0;
}

void Parser::admit(uint64_t body_bytes_max, const std::string& directory) {
  HEARTH_CHECK(state_ == State::kAdmit);
  body_bytes_max_ = body_bytes_max;
  uint64_t length = framing_.content_length.value_or(0);
  if (length > body_bytes_max) {
    return refuse({413, "too_large", "body", fmt::format("the body has {} bytes", length),
                   "body_bytes_max", body_bytes_max});
  }
  if (!has_body()) {
    state_ = State::kComplete;
    return;
  }
  state_ = State::kBody;
  if (!directory.empty()) {
    request_.body_file.emplace(directory);
  } else {
    request_.body.reserve(length);  // address space only: pages come as bytes arrive
  }
}

std::size_t Parser::feed_body(std::string_view data) {
  if (last_chunk_) return feed_trailers(data);
  if (framing_.content_length) data = data.substr(0, *framing_.content_length - received_);
  piece_ = data.data();
  llhttp_errno_t rc = llhttp_execute(&llhttp_, data.data(), data.size());
  if (state_ == State::kRefused) return data.size();
  std::size_t used = data.size();
  if (rc == HPE_PAUSED) {  // behind the line of the last chunk
    used = static_cast<std::size_t>(llhttp_get_error_pos(&llhttp_) - data.data());
  } else if (rc != HPE_OK) {
    Refusal refusal = refusal_of(llhttp_);
    refusal.stage = "body";
    refuse(std::move(refusal));
    return data.size();
  }
  if (!check_overhead(data.data() + used)) return data.size();
  before_piece_ += used;
  if (message_complete_) state_ = State::kComplete;
  return used;
}

// Chunk sizes and extensions may not cost more than headers and very small chunks do. Called where
// they may have ended.
bool Parser::check_overhead(const char* at) {
  uint64_t overhead = before_piece_ + static_cast<uint64_t>(at - piece_) - received_;
  if (overhead <= 8 * received_ + limits_.header_bytes_max) return true;
  refuse({431, "too_large", "body", "the chunk extensions are too long", "header_bytes_max",
          limits_.header_bytes_max});
  return false;
}

int Parser::begin_chunk(uint64_t bytes) {
  if (bytes > body_bytes_max_ - received_) {
    refuse({413, "too_large", "body", "the body is too long", "body_bytes_max", body_bytes_max_});
    return -1;
  }
  last_chunk_ = bytes == 0;
  if (last_chunk_) scanner_.reset(HeadScanner::Begin::kTrailers);
  return last_chunk_ ? int{HPE_PAUSED} : 0;
}

int Parser::take_body(const char* at, std::size_t bytes) {
  if (!check_overhead(at)) return -1;
  if (request_.body_file) {
    try {
      request_.body_file->write({at, bytes});
    } catch (const sys::Error& error) {
      refuse({503, "overloaded", "body", error.what()});
      return -1;
    }
  } else if (!in_place_) {
    std::string& body = request_.body;
    std::size_t prepared = std::min(bytes, body.size() - static_cast<std::size_t>(received_));
    std::memcpy(body.data() + received_, at, prepared);
    body.append(at + prepared, bytes - prepared);
  }
  received_ += bytes;
  return 0;
}

std::span<char> Parser::body_space() {
  if (state_ != State::kBody || !framing_.content_length || request_.body_file) return {};
  uint64_t left = *framing_.content_length - received_;
  if (left < kInPlaceMin) return {};
  std::size_t end = static_cast<std::size_t>(received_ + std::min<uint64_t>(left, kInPlaceStep));
  // Each byte is zeroed once, while it is about to be written anyway.
  if (request_.body.size() < end) request_.body.resize(end);
  return {request_.body.data() + received_, end - static_cast<std::size_t>(received_)};
}

void Parser::body_received(std::size_t bytes) {
  in_place_ = true;
  (void)feed_body({request_.body.data() + received_, bytes});
  in_place_ = false;
}

}  // namespace hearth::http
