// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace hearth::cli {

// The exit statuses that scripts rely on.
enum class Status {
  kSuccess = 0,
  kFunctionFailed = 1,  // the function ran and did not succeed
  kUsage = 2,           // the command line is wrong
  kRefused = 3,         // hearthd or this host refused, or is not there
  kTimeout = 4,         // the function's deadline passed
};

// Ends a command: `what()` is the one line for a person, `details` (a stack, the end of a log)
// follows it as it is.
class Failure : public std::runtime_error {
 public:
  Failure(Status status, const std::string& line, std::string details = {})
      : std::runtime_error(line), status_(status), details_(std::move(details)) {}
  Status status() const { return status_; }
  const std::string& details() const { return details_; }

 private:
  Status status_;
  std::string details_;
};

// Ends a command quietly: whoever read our output has gone.
struct ReaderGone {};

// What an answer that is an error means to a person: kind, message, limit and value, and what to do
// about it. `body` is what hearthd sent, `retry_after` its header of that name (seconds) or empty.
Failure failure_of(long http_status, std::string_view body, std::string_view retry_after);

}  // namespace hearth::cli
