// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>

namespace hearth::cli {

// Members keep the order in which hearthd wrote them.
using Json = nlohmann::ordered_json;

}  // namespace hearth::cli
