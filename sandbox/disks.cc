// SPDX-License-Identifier: Apache-2.0
#include "sandbox/disks.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <sstream>
#include <vector>

#include "sandbox/cgroup.h"
#include "sandbox/sys/error.h"

namespace hearth::sandbox {
namespace {

struct Mount {
  std::string device, target, type;
};

std::vector<Mount> read_mounts(const std::string& root) {
  std::istringstream lines(cgroup::read_file(AT_FDCWD, root + "/proc/self/mountinfo"));
  std::vector<Mount> mounts;
  for (std::string line; std::getline(lines, line);) {
    // ID PARENT DEV ROOT TARGET OPTIONS [TAGS…] - TYPE SOURCE OPTIONS
    size_t dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    std::istringstream fields(line);
    std::string skipped, target;
    Mount mount;
    fields >> skipped >> skipped >> mount.device >> skipped >> target;
    mount.target = cgroup::unescape(target);
    std::istringstream(line.substr(dash + 3)) >> mount.type;
    mounts.push_back(std::move(mount));
  }
  return mounts;
}

// Whether `path` is the folder or lies in it.
bool is_in(const std::string& path, const std::string& folder) {
  if (folder == "/") return true;
  return path.starts_with(folder) && (path.size() == folder.size() || path[folder.size()] == '/');
}

// A partition's limits are its disk's: the kernel takes no other.
std::string whole_disk(const std::string& device, const std::string& root) {
  std::string folder = fmt::format("{}/sys/dev/block/{}", root, device);
  if (::access((folder + "/partition").c_str(), F_OK) != 0) return device;
  std::istringstream text(cgroup::read_file(AT_FDCWD, folder + "/../dev"));
  std::string disk;
  text >> disk;
  return disk;
}

}  // namespace

Disks find_disks(std::span<const std::string> folders, const std::string& root) {
  std::vector<Mount> mounts = read_mounts(root);
  std::set<std::string> found;
  Disks disks;
  for (const std::string& folder : folders) {
    std::vector<const Mount*> below;
    const Mount* around = nullptr;
    for (const Mount& mount : mounts) {
      // Of two at the same place the later one covers the other.
      bool deeper = !around || mount.target.size() >= around->target.size();
      if (is_in(folder, mount.target) && deeper) around = &mount;
      if (is_in(mount.target, folder) && mount.target != folder) below.push_back(&mount);
    }
    if (around) below.push_back(around);
    for (const Mount* mount : below) {
      if (mount->type == "tmpfs" || mount->type == "ramfs") continue;
      // Numbers of file systems that are no single disk: overlay, btrfs, zfs, nfs.
      if (mount->device.starts_with("0:")) {
        disks.obstacle = fmt::format("{} is on {}", folder, mount->type);
      } else {
        found.insert(whole_disk(mount->device, root));
      }
    }
  }
  disks.devices = fmt::format("{}", fmt::join(found, ","));
  if (found.empty() && disks.obstacle.empty()) disks.obstacle = "images and code are on no disk";
  return disks;
}

Disks find_disks_to_limit(std::span<const std::string> folders, const std::string& cgroup_base) {
  Disks disks = find_disks(folders);
  if (!cgroup::has_controller(cgroup_base, "io")) {
    disks.obstacle = fmt::format("no cgroup controller io in {}", cgroup_base);
  } else if (::access((cgroup_base + "/io.max").c_str(), F_OK) != 0) {
    disks.obstacle = "the kernel has no io.max (CONFIG_BLK_DEV_THROTTLING)";
  }
  return disks;
}

}  // namespace hearth::sandbox
