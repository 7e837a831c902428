// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>

#include "daemon/registry/bundle.h"

// The entries of an archive, one after the other. libarchive takes the formats apart; gzip is left
// to zlib, which checks the checksum and the length at the end. Nothing here writes.
namespace hearth::registry {

enum class EntryKind { kFile, kFolder, kLink };

struct Entry {
  std::string name;  // as the archive has it
  EntryKind kind = EntryKind::kFile;
  bool executable = false;
  std::string link;  // what a link says
};

class ArchiveReader {
 public:
  // Throws sys::Error when the file cannot be read.
  ArchiveReader(const std::string& path, const BundleBounds& bounds);
  ~ArchiveReader();

  // The next entry, or nothing at the archive's proper end.
  std::variant<std::optional<Entry>, BundleError> next();
  // The next bytes of the entry, valid until the next call; empty at its end.
  std::variant<std::span<const std::byte>, BundleError> read();

  uint64_t packed_bytes() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace hearth::registry
