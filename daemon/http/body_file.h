// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "sandbox/sys/fd.h"

namespace hearth::http {

// A request's body kept in a file instead of memory. Destruction removes the file. Throws
// sys::Error (disk full).
class BodyFile {
 public:
  explicit BodyFile(const std::string& directory);  // a new file in it, mode 0600
  BodyFile(BodyFile&& other) noexcept;
  BodyFile& operator=(BodyFile&& other) noexcept;
  ~BodyFile();

  void write(std::string_view data);
  const std::string& path() const { return path_; }
  uint64_t bytes() const { return bytes_; }

 private:
  std::string path_;  // empty: moved from
  sys::Fd fd_;
  uint64_t bytes_ = 0;
};

}  // namespace hearth::http
