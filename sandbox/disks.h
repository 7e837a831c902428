// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>

// Which disks sandboxes read from, so that io.max can name them.
namespace hearth::sandbox {

struct Disks {
  std::string devices;   // "8:0,254:16": whole disks, each once
  std::string obstacle;  // why reads cannot be limited, or empty: "/usr is on overlay"
};

// Those below the folders: of the mount that each is in and of the mounts inside it, as
// /proc/self/mountinfo below `root` tells. `root` is "" but for tests. What lives in memory needs
// no disk. Throws sys::Error when the kernel's files cannot be read.
Disks find_disks(std::span<const std::string> folders, const std::string& root = {});

// The same with what else io.max needs: the controller, handed on to the children of `cgroup_base`.
Disks find_disks_to_limit(std::span<const std::string> folders, const std::string& cgroup_base);

}  // namespace hearth::sandbox
