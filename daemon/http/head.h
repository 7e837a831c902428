// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "daemon/http/limits.h"
#include "daemon/http/message.h"

// What is checked about a request's head besides what llhttp checks: where it ends, its bounds, and
// everything about which parsers have disagreed, so that no two readers of the same bytes can see
// two different requests.
namespace hearth::http {

// Why a request is not served.
struct Refusal {
  int status = 400;
  std::string_view kind = "bad_request";
  std::string_view stage = "head";
  std::string message;
  std::string_view limit = {};  // which bound, and what it is set to
  uint64_t value = 0;
};

// Finds the empty line that ends a head which may arrive in any pieces, looking at each byte once.
// Every line must end in CRLF and none may continue the line before it. One empty line before the
// request is let pass (RFC 9112, 2.2).
class HeadScanner {
 public:
  enum class Result { kMore, kEnd, kRefused };
  // `head` begins with the request's first byte and has only grown since the last call.
  Result scan(std::string_view head, const Limits& limits);
  std::size_t end() const { return next_; }  // after kEnd: the head's length
  const Refusal& refusal() const { return refusal_; }
  enum class Begin { kRequest, kTrailers };
  void reset(Begin begin);

 private:
  Result refuse(Refusal refusal);
  Result check_bounds(std::size_t bytes, const Limits& limits);

  std::size_t next_ = 0;  // first byte not looked at
  std::size_t line_begin_ = 0;
  uint32_t lines_ = 0;  // complete ones
  Refusal refusal_;
};

// What the headers say about the body and the connection.
struct Framing {
  bool chunked = false;
  std::optional<uint64_t> content_length;
  bool expect_continue = false;
  bool close = false, keep_alive = false;  // of Connection
  bool upgrade = false;
  bool host = false;

  // One header, name in lower case. A refusal when it is invalid or may not appear again.
  std::optional<Refusal> note(std::string_view name, std::string_view value);
  // All headers together, and the version.
  std::optional<Refusal> check(int version_minor) const;
};

// The lines behind the last chunk, with the empty line that ends them. They are checked and
// dropped.
bool valid_trailers(std::string_view lines);

// Fills path and query from target, which may be in absolute form.
std::optional<Refusal> split_target(Request& request);

}  // namespace hearth::http
