// SPDX-License-Identifier: Apache-2.0
#include "daemon/http/error.h"

#include <fmt/format.h>

#include <algorithm>

namespace hearth::http {
namespace {

// The length of the UTF-8 sequence at the beginning of `text`; 0: there is none.
std::size_t utf8_length(std::string_view text) {
  auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  auto continues = [&](std::size_t i) { return i < text.size() && (byte(i) & 0xc0) == 0x80; };
  unsigned char first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf && continues(1)) return 2;
  if (first >= 0xe0 && first <= 0xef && continues(1) && continues(2)) {
    bool overlong = first == 0xe0 && byte(1) < 0xa0;
    bool surrogate = first == 0xed && byte(1) >= 0xa0;
    return overlong || surrogate ? 0 : 3;
  }
  if (first >= 0xf0 && first <= 0xf4 && continues(1) && continues(2) && continues(3)) {
    bool overlong = first == 0xf0 && byte(1) < 0x90;
    bool beyond = first == 0xf4 && byte(1) >= 0x90;
    return overlong || beyond ? 0 : 4;
  }
  return 0;
}

void append_field(std::string& out, std::string_view name, std::string_view value) {
  if (out.back() != '{') out += ',';
  out.append("\"").append(name).append("\":").append(value.empty() ? "null" : json_string(value));
}

bool is_number(std::string_view text) {
  return !text.empty() && text.size() <= 15 && (text[0] != '0' || text.size() == 1) &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

std::string json_string(std::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    std::size_t length = utf8_length(text);
    char c = text[0];
    if (length == 0) {
      out += "\\ufffd";
      length = 1;
    } else if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (length == 1 && (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(length);
  }
  return out += '"';
}

Response error_response(int status, const ErrorBody& error) {
  Response response;
  response.status = status;
  response.headers.set("Content-Type", "application/json");
  if (error.retry_after) {
    auto seconds = std::chrono::ceil<std::chrono::seconds>(*error.retry_after).count();
    response.headers.set("Retry-After", fmt::format_int(seconds).c_str());
  }
  std::string& out = response.body;
  out = "{\"error\":{";
  append_field(out, "kind", error.kind);
  append_field(out, "stage", error.stage);
  append_field(out, "message", error.message);
  append_field(out, "limit", error.limit);
  if (is_number(error.value)) {
    out.append(",\"value\":").append(error.value);
  } else {
    append_field(out, "value", error.value);
  }
  append_field(out, "call_id", error.call_id);
  if (!error.type.empty() || !error.stack.empty()) {
    append_field(out, "type", error.type);
    append_field(out, "stack", error.stack);
  }
  out += "}}\n";
  return response;
}

Response error_response(int status, std::string_view kind, std::string_view stage,
                        std::string_view message, std::string_view limit, std::string_view value,
                        std::string_view call_id, std::optional<std::chrono::seconds> retry_after) {
  ErrorBody error;
  error.kind = kind;
  error.stage = stage;
  error.message = message;
  error.limit = limit;
  error.value = value;
  error.call_id = call_id;
  error.retry_after = retry_after;
  return error_response(status, error);
}

}  // namespace hearth::http
