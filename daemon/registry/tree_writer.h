// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <variant>

#include "daemon/registry/bundle.h"
#include "sandbox/sys/fd.h"

namespace hearth::registry {

using Digest = std::array<unsigned char, 32>;

// Writes the files, folders and links of a bundle into a new folder. No path is ever followed
// through a link: the kernel is told so for each (openat2), and no link exists before the last file
// is closed. Destruction removes the folder unless keep() was called. The paths given are clean
// (bundle_path.h). Throws sys::Error.
class TreeWriter {
 public:
  // Makes `target`; EEXIST if it is there.
  TreeWriter(const std::string& target, const BundleBounds& bounds);
  ~TreeWriter();
  TreeWriter(const TreeWriter&) = delete;
  TreeWriter& operator=(const TreeWriter&) = delete;

  // An error: the path is taken, goes through a file or link, or is one too many.
  std::optional<BundleError> add_folder(const std::string& path);
  std::optional<BundleError> add_link(const std::string& path, const std::string& says);
  std::optional<BundleError> open_file(const std::string& path, bool executable);
  void write(std::span<const std::byte> bytes);  // to the file opened last
  void close_file(const Digest& content);

  // Makes the links, brings everything to disk, and keeps it.
  void keep();

  std::string hash() const;  // see bundle.h; after keep()
  uint32_t entries() const { return static_cast<uint32_t>(nodes_.size()); }

 private:
  enum class Kind : char { kFile = 'f', kFolder = 'd', kLink = 'l' };
  struct Node {
    Kind kind = Kind::kFolder;
    bool executable = false;
    Digest content{};
    std::string says;  // links
  };

  std::optional<BundleError> add(const std::string& path, Node node);
  std::optional<BundleError> add_folders_above(const std::string& path);
  void make_folder(const std::string& path);
  sys::Fd open_below(const std::string& path, uint64_t flags, uint64_t mode) const;
  sys::Fd open_parent(const std::string& path) const;
  void sync();

  std::string target_;
  BundleBounds bounds_;
  sys::Fd root_;
  std::map<std::string, Node> nodes_;  // sorted: the hash goes over it in this order
  std::string file_path_;
  sys::Fd file_;
  bool kept_ = false;
};

}  // namespace hearth::registry
