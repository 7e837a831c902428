// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

// Archives made byte by byte, so that tests can also make those that no tool would.
namespace hearth::registry::archives {

struct File {
  std::string name;
  std::string content;
  uint32_t mode = 0644;
  char type = '0';   // tar's: 0 file, 1 hard link, 2 link, 3 and 4 devices, 5 folder, 6 FIFO
  std::string link;  // links: where to
  // Lies, for hostile archives.
  uint32_t crc_flip = 0;
  uint16_t zip_flags = 0;
  int64_t size_claimed = -1;
};

std::string tar(const std::vector<File>& files, bool end_mark = true);
std::string zip(const std::vector<File>& files);
std::string gzip(const std::string& bytes);

// By libarchive, as `tar` and `zip` tools write: pax tar in gzip, GNU tar in gzip, zip.
std::string by_library(const std::vector<File>& files, const std::string& format);

}  // namespace hearth::registry::archives
