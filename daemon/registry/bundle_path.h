// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "daemon/registry/bundle.h"

// The names inside an archive. Pure text: what they may be, before anything is written.
namespace hearth::registry {

// `name` without a leading "./" and a trailing '/', empty for the bundle's own folder; or why it is
// refused.
std::variant<std::string, BundleError> clean_path(std::string_view name,
                                                  const BundleBounds& bounds);

// Refuses a link that could lead out of the bundle. `path` is clean, and no part of it is a link.
// `..` may only lead: after the name of another link it would climb from that link's end, which the
// text does not show.
std::optional<BundleError> check_link(std::string_view path, std::string_view says,
                                      const BundleBounds& bounds);

}  // namespace hearth::registry
