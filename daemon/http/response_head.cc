// SPDX-License-Identifier: Apache-2.0
#include "daemon/http/response_head.h"

#include <fmt/format.h>

#include <array>
#include <iterator>
#include <utility>

#include "daemon/http/characters.h"

namespace hearth::http {
namespace {

// For people with a packet dump; a status without a phrase is valid.
constexpr std::pair<int, std::string_view> kReasons[] = {
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {417, "Expectation Failed"},
    {422, "Unprocessable Content"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
};

std::string_view reason(int status) {
  for (const auto& [number, text] : kReasons) {
    if (number == status) return text;
  }
  return {};
}

// Headers that say how this message is framed: only the server knows.
bool is_framing(std::string_view name) {
  switch (name.size()) {
    case 4:
      return same_letters(name, "date");
    case 7:
      return same_letters(name, "trailer") || same_letters(name, "upgrade");
    case 10:
      return same_letters(name, "connection") || same_letters(name, "keep-alive");
    case 14:
      return same_letters(name, "content-length");
    case 17:
      return same_letters(name, "transfer-encoding");
    default:
      return false;
  }
}

}  // namespace

std::string_view DateLine::now() {
  timespec time{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &time);
  if (time.tv_sec == second_) return line_;
  second_ = time.tv_sec;
  constexpr std::array<const char*, 7> kDays{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr std::array<const char*, 12> kMonths{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  std::tm utc{};
  ::gmtime_r(&second_, &utc);
  line_ = fmt::format("Date: {}, {:02} {} {} {:02}:{:02}:{:02} GMT\r\n",
                      kDays.at(static_cast<size_t>(utc.tm_wday)), utc.tm_mday,
                      kMonths.at(static_cast<size_t>(utc.tm_mon)), utc.tm_year + 1900, utc.tm_hour,
                      utc.tm_min, utc.tm_sec);
  return line_;
}

void append_head(std::string& out, const Response& response, BodyForm form, bool keep_alive,
                 int version_minor, std::string_view date_line) {
  if (response.status == 200) {
    out += "HTTP/1.1 200 OK\r\n";
  } else {
    fmt::format_to(std::back_inserter(out), "HTTP/1.1 {} {}\r\n", response.status,
                   reason(response.status));
  }
  out += date_line;
  std::string_view rest = response.headers.text();
  while (!rest.empty()) {
    std::size_t line = rest.find('\n') + 1;
    if (!is_framing(rest.substr(0, rest.find(':')))) out += rest.substr(0, line);
    rest.remove_prefix(line);
  }
  if (form == BodyForm::kLength) {
    fmt::format_int length(response.body.size());
    out.append("Content-Length: ").append(length.data(), length.size()).append("\r\n");
  } else if (form == BodyForm::kChunked) {
    out += "Transfer-Encoding: chunked\r\n";
  }
  if (!keep_alive) {
    out += "Connection: close\r\n";
  } else if (version_minor == 0) {
    out += "Connection: keep-alive\r\n";
  }
  out += "\r\n";
}

}  // namespace hearth::http
