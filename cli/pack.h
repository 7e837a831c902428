// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "sandbox/sys/fd.h"

namespace hearth::cli {

struct Packed {
  sys::Fd file;  // a tar.gz without a name, read from its start
  uint64_t bytes = 0, files = 0;
};

// Packs a folder, leaving out what `Ignore` says. The same content gives the same bytes: entries
// are sorted, owners and times left out. `on_file` is called for each file. Throws Failure for what
// a bundle cannot hold (devices, sockets, pipes) and for what changes meanwhile, sys::Error when
// the host fails.
Packed pack_folder(const std::string& folder,
                   const std::function<void(uint64_t files, uint64_t bytes)>& on_file);

}  // namespace hearth::cli
