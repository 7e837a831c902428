// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/json.h"

namespace hearth::cli {

// What goes up with a request: nothing, bytes, or what a descriptor gives (its size unknown for a
// pipe).
struct Upload {
  std::optional<std::string> bytes;
  int fd = -1;
  std::optional<uint64_t> fd_bytes;
};

struct Request {
  std::string method = "GET";
  std::string path;                  // "/v1/…" with its query
  std::vector<std::string> headers;  // "Name: value"
  Upload upload;
  // The body of a success, piece by piece; unset: it is collected in the answer.
  std::function<void(std::string_view)> on_body;
  // Called now and then with the bytes sent so far.
  std::function<void(uint64_t)> on_sent;
  // For the whole exchange; zero: hearthd has deadlines of its own for this request.
  std::chrono::seconds timeout{60};
};

struct Answer {
  long status = 0;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;                            // of an error, or of a success without on_body
  std::string header(const std::string& name) const;
};

// HTTP with hearthd over its Unix socket. Every call throws Failure when hearthd cannot be reached
// or goes away in between.
class Client {
 public:
  explicit Client(std::string socket_path) : socket_path_(std::move(socket_path)) {}

  Answer perform(const Request& request) const;  // an error's answer is returned like any other
  Answer request(const Request& request) const;  // an error's answer is thrown as a Failure
  Json get(const std::string& path) const;
  Json send(const std::string& method, const std::string& path,
            const std::optional<std::string>& body = {}) const;

 private:
  std::string socket_path_;
};

// One segment of a path or one value of a query, escaped.
std::string escape_url(std::string_view text);

// "?a=1&b=2" of those that have a value; empty when none has.
std::string query(const std::vector<std::pair<std::string, std::string>>& parameters);

}  // namespace hearth::cli
