// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <variant>

// Unpacking what somebody uploaded. Every byte of it is hostile.
namespace hearth::registry {

struct BundleBounds { uint64_t bytes_max = 256u << 20; uint32_t entries_max = 20000; uint32_t ratio_max = 200; uint32_t depth_max = 64; uint32_t path_bytes_max = 1024; };

struct Bundle { std::string hash; uint64_t bytes = 0; uint32_t entries = 0; std::string manifest_text; };
struct BundleError { std::string message, limit, value; };  // limit, value: which bound, and what was found

// Unpacks a .zip or .tar.gz (told by content) into `target`, which must not exist and is removed again on refusal. Refuses absolute
// paths, `..`, links that leave the bundle, hard links, devices, and what exceeds the bounds. Files become 0644 or 0755, folders 0755. The hash is
// SHA-256 over the sorted (path, kind, executable, content) of every entry: the same content gives the same hash whatever the archive.
// Blocking: run it off the loop thread. Throws sys::Error when the host fails (disk full).
std::variant<Bundle, BundleError> unpack(const std::string& archive_path, const std::string& target, const BundleBounds& bounds);

}  // namespace hearth::registry
