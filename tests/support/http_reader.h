// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/http/parser.h"

namespace hearth::http {

// One connection without a socket: collects the requests that come out of bytes fed in pieces.
class Reader {
 public:
  explicit Reader(Limits l = {}) : limits(l) {}

  void read(std::string_view bytes, std::size_t step = SIZE_MAX) {
    while (!bytes.empty() && parser.state() != Parser::State::kRefused) {
      if (std::span<char> space = parser.body_space(); !space.empty()) {
        std::size_t n = std::min({space.size(), bytes.size(), step});
        std::memcpy(space.data(), bytes.data(), n);
        bytes.remove_prefix(n);
        parser.body_received(n);
        collect();
        continue;
      }
      std::string piece(bytes.substr(0, step));  // a copy, so that reading beyond it is seen
      bytes.remove_prefix(piece.size());
      take(piece);
    }
  }

  const Limits limits;
  Request request;
  Parser parser{limits, request};
  std::function<void(const Request&)> on_request;
  std::vector<std::string> requests;  // method, path, query, headers and body of each

 private:
  void take(std::string_view piece) {
    while (!piece.empty() && parser.state() != Parser::State::kRefused) {
      piece.remove_prefix(parser.feed(piece));
      if (parser.state() == Parser::State::kAdmit) parser.admit(limits.body_bytes_max, {});
      collect();
    }
  }

  void collect() {
    if (parser.state() != Parser::State::kComplete) return;
    if (on_request) on_request(request);
    requests.push_back(request.method + " " + request.path + "?" + request.query + " " +
                       std::string(request.headers.text()) + "|" + request.body);
    parser.next();
  }
};

}  // namespace hearth::http
