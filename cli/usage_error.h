// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
class ParseError;
}  // namespace CLI

namespace hearth::cli {

// What is wrong with the command line, with the nearest word that would have been right, and where
// to read on. One line.
std::string explain(const CLI::App& app, const CLI::ParseError& error);

// The candidate that is meant by a mistyped word, if one is near.
std::optional<std::string> nearest(std::string_view word,
                                   const std::vector<std::string>& candidates);

}  // namespace hearth::cli
