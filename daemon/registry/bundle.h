// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <variant>

// Unpacking what somebody uploaded. Every byte of it is hostile.
namespace hearth::registry {

struct BundleBounds {
  uint64_t bytes_max = 256u << 20;  // unpacked, as written, whatever the archive claims
  uint32_t entries_max = 20000;     // files, links and folders, also folders that only a path names
  uint32_t ratio_max = 200;         // unpacked to packed; only asked of more than 1 MiB unpacked
  uint32_t depth_max = 64;          // parts of a path
  uint32_t path_bytes_max = 1024;   // of a path, and of what a link says
};

struct Bundle {
  std::string hash;  // hex SHA-256
  uint64_t bytes = 0;
  uint32_t entries = 0;
  std::string manifest_text;
};

struct BundleError {
  std::string message;
  std::string limit, value;  // when a bound was broken: "entries<=20000", "20001"
};

// Unpacks a .zip, .tar.gz or .tar (told by content) into `target`, which must not exist (sys::Error
// EEXIST) and is removed again on refusal and on failure. Refuses absolute paths, `..`, links that
// leave the bundle, hard links, devices, sparse and encrypted files, paths given twice, damaged or
// cut archives, and what exceeds the bounds. Files become 0644 or 0755, folders 0755, links stay.
// All of it is on disk when this returns; the folder that holds `target` is the caller's to sync,
// who will rename `target` anyhow. The hash is SHA-256 over the sorted (path, kind, executable,
// content) of every file, link and folder: the same content gives the same hash whatever the
// archive. function.toml must stand at the top; its text is handed back unread. Blocking: run it
// off the loop thread. Throws sys::Error when the host fails (disk full).
std::variant<Bundle, BundleError> unpack(const std::string& archive_path, const std::string& target,
                                         const BundleBounds& bounds);

}  // namespace hearth::registry
