// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

// Text from elsewhere (functions, archives, hearthd) on its way to somebody's terminal.
namespace hearth::cli {

// Control characters become visible escapes, so that a function's text cannot drive a terminal.
// `keep` are left alone.
std::string escape_controls(std::string_view text, std::string_view keep = "");

// One line: newlines become " | " as well.
std::string one_line(std::string_view text);

// Columns on a terminal, counting code points.
size_t width_of(std::string_view text);

}  // namespace hearth::cli
