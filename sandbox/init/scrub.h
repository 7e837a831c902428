// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "sandbox/init/children.h"
#include "sandbox/sys/fd.h"

namespace hearth::sandbox::init {

// A tmpfs that user code writes to: /tmp and /dev/shm. Its root belongs to init, so user code
// cannot change the root's mode, owner or attributes.
class Scratch {
 public:
  explicit Scratch(const std::string& path);  // throws sys::Error

  // Removes everything below, whatever its modes, and verifies that; the root's times are reset. No
  // process that may write there must be left. Throws sys::Error naming what could not be removed;
  // ETIMEDOUT at `deadline`.
  void empty(Clock::time_point deadline);

  struct Usage {
    uint64_t used_bytes, bytes;
  };
  Usage usage() const;

 private:
  bool untouched() const;

  std::string path_;
  sys::Fd root_;
};

}  // namespace hearth::sandbox::init
