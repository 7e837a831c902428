// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "daemon/http/message.h"

namespace hearth::http {

// The one form of every refusal: {"error":{"kind","stage","message","limit","value","call_id"}}.
// `limit` names the bound that was hit and `value` is what it is set to; empty fields become null,
// a value of digits a number.
struct ErrorBody {
  std::string kind, stage, message, limit, value, call_id;
  std::string type, stack;  // a function's own error; left out when both are empty
  std::optional<std::chrono::milliseconds> retry_after;
};
Response error_response(int status, const ErrorBody& error);
Response error_response(int status, std::string_view kind, std::string_view stage,
                        std::string_view message, std::string_view limit = {},
                        std::string_view value = {}, std::string_view call_id = {},
                        std::optional<std::chrono::seconds> retry_after = std::nullopt);

// `text` as a JSON string with its quotes; bytes that are no UTF-8 become U+FFFD.
std::string json_string(std::string_view text);

}  // namespace hearth::http
