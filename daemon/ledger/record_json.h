// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "daemon/ledger/ledger.h"

namespace hearth::ledger {

// One line of JSON, without a newline: what `/v1/calls`, `hearth call` and `invoke --meter` print.
// ASCII only, so that it can also be the value of a header.
std::string to_json(const Record& record);

// A row of `/v1/usage`: counts and sums of one function on one day, and its errors by kind.
std::string to_json(const Usage& usage);

}  // namespace hearth::ledger
