// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string_view>

#include "daemon/settings/reader.h"

namespace hearth::settings {

// What the TOML library must not be given, found by a first look at the text: keys with so many
// dots that its recursion would end the stack, and bytes beyond ASCII outside strings and comments,
// which are no TOML but lead into code of the library that is not defined for them. Where this look
// takes a string for longer or shorter than the library would, the text is no TOML and the library
// stops there.
std::optional<Error> scan(std::string_view text);

}  // namespace hearth::settings
