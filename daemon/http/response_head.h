// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <ctime>
#include <string>
#include <string_view>

#include "daemon/http/message.h"

namespace hearth::http {

// How the client finds the end of an answer's body.
enum class BodyForm { kLength, kChunked, kUntilClose, kNone };

// `Date: ...\r\n`, made once a second.
class DateLine {
 public:
  std::string_view now();

 private:
  std::time_t second_ = 0;
  std::string line_;
};

// Appends the status line and all headers up to the empty line.
void append_head(std::string& out, const Response& response, BodyForm form, bool keep_alive,
                 int version_minor, std::string_view date_line);

// 204 and 304 have no body, whatever the handler says.
constexpr bool status_has_body(int status) {
  return status != 204 && status != 304;
}

}  // namespace hearth::http
