// SPDX-License-Identifier: Apache-2.0
#include "daemon/registry/bundle_path.h"

#include <fmt/format.h>

#include <algorithm>

#include "daemon/settings/reader.h"

namespace hearth::registry {
namespace {

constexpr size_t kPartBytesMax = 255;  // NAME_MAX

// Well-formed UTF-8: no overlong forms, no surrogates, nothing beyond U+10FFFF.
bool valid_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    auto byte = [&](size_t at) {
      return at < text.size() ? static_cast<unsigned char>(text[at]) : 0u;
    };
    unsigned lead = byte(i), second = byte(i + 1);
    size_t more = lead < 0x80 ? 0 : lead >= 0xc2 && lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
    if (lead >= 0x80 && (lead < 0xc2 || lead > 0xf4)) return false;
    if (lead == 0xe0 && second < 0xa0) return false;
    if (lead == 0xed && second > 0x9f) return false;
    if (lead == 0xf0 && second < 0x90) return false;
    if (lead == 0xf4 && second > 0x8f) return false;
    for (size_t k = 1; k <= more; ++k) {
      if ((byte(i + k) & 0xc0) != 0x80) return false;
    }
    i += 1 + more;
  }
  return true;
}

BundleError refuse(std::string_view name, std::string_view reason) {
  return {fmt::format("'{}' in the archive: {}", settings::shown(name), reason), {}, {}};
}

BundleError beyond(std::string_view name, std::string_view what, uint64_t found, uint64_t max) {
  return {fmt::format("'{}' in the archive: {} is {}, at most {} is allowed", settings::shown(name),
                      what, found, max),
          fmt::format("{}<={}", what, max), std::to_string(found)};
}

std::optional<BundleError> check_characters(std::string_view name) {
  if (!valid_utf8(name)) return BundleError{"the archive has a name that is not UTF-8", {}, {}};
  bool control =
      std::any_of(name.begin(), name.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; });
  if (control) return refuse(name, "control characters are not allowed");
  if (name.find('\\') != std::string_view::npos) return refuse(name, "backslashes are not allowed");
  return std::nullopt;
}

template <typename Visit>
std::optional<BundleError> for_each_part(std::string_view path, Visit visit) {
  for (size_t start = 0; start <= path.size();) {
    size_t end = std::min(path.find('/', start), path.size());
    if (auto error = visit(path.substr(start, end - start))) return error;
    start = end + 1;
  }
  return std::nullopt;
}

}  // namespace

std::variant<std::string, BundleError> clean_path(std::string_view name,
                                                  const BundleBounds& bounds) {
  if (name.size() > bounds.path_bytes_max)
    return beyond(name, "path_bytes", name.size(), bounds.path_bytes_max);
  if (auto error = check_characters(name)) return std::move(*error);
  if (name.empty()) return BundleError{"the archive has an entry without a name", {}, {}};
  if (name.front() == '/') return refuse(name, "absolute paths are not allowed");
  std::string_view path = name;
  while (path.starts_with("./")) path.remove_prefix(2);
  if (path.ends_with('/')) path.remove_suffix(1);
  if (path.empty() || path == ".") return std::string();
  uint32_t depth = 0;
  auto error = for_each_part(path, [&](std::string_view part) -> std::optional<BundleError> {
    if (part == "..") return refuse(name, "'..' is not allowed");
    if (part.empty() || part == ".") return refuse(name, "empty parts and '.' are not allowed");
    if (part.size() > kPartBytesMax) return beyond(name, "name_bytes", part.size(), kPartBytesMax);
    ++depth;
    return std::nullopt;
  });
  if (error) return std::move(*error);
  if (depth > bounds.depth_max) return beyond(name, "depth", depth, bounds.depth_max);
  return std::string(path);
}

std::optional<BundleError> check_link(std::string_view path, std::string_view says,
                                      const BundleBounds& bounds) {
  if (says.empty()) return refuse(path, "a link to nothing");
  if (says.size() > bounds.path_bytes_max)
    return beyond(path, "link_bytes", says.size(), bounds.path_bytes_max);
  if (auto error = check_characters(says)) return error;
  std::string leaves =
      fmt::format("it links to '{}', which leaves the bundle", settings::shown(says));
  if (says.front() == '/') return refuse(path, leaves);
  auto folders = std::count(path.begin(), path.end(), '/');
  bool climbing = true;
  return for_each_part(says, [&](std::string_view part) -> std::optional<BundleError> {
    if (part.empty() || part == ".") return std::nullopt;
    if (part != "..") {
      climbing = false;
      return std::nullopt;
    }
    if (!climbing)
      return refuse(path,
                    fmt::format("it links to '{}': '..' may only lead", settings::shown(says)));
    if (--folders < 0) return refuse(path, leaves);
    return std::nullopt;
  });
}

}  // namespace hearth::registry
