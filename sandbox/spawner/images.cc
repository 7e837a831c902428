// SPDX-License-Identifier: Apache-2.0
#include "sandbox/spawner/images.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "sandbox/spawner/mounts.h"
#include "sandbox/spawner/stage.h"
#include "sandbox/sys/error.h"

namespace hearth::sandbox::spawner {
namespace {

using mounts::Depth;

constexpr const char* kHost = "host";
// Every sandbox copies the stage with all of them on it.
constexpr size_t kAssembledMax = 16;
constexpr const char* kMountPoints[] = {"proc", "dev", "tmp", "var/task", "var/runtime"};

// What every image shares, attached to its root.
void attach_shared(int root) {
  mounts::attach(mounts::clone(AT_FDCWD, kDev, Depth::kOne, kDev).get(), root, "dev");
  mounts::attach(mounts::clone(AT_FDCWD, kRuntimes, Depth::kRecursive, kRuntimes).get(), root,
                 "var/runtime");
}

sys::Fd open_folder(const char* path) {
  return sys::Fd(sys::check(::open(path, O_PATH | O_DIRECTORY | O_CLOEXEC), "open", path));
}

}  // namespace

Images::Images(bool host_image) : host_image_(host_image), state_(open_folder(kState)) {
  if (host_image_) attach_shared(open_folder(kHostImage).get());
}

const char* Images::path_of(const std::string& name) {
  if (name == kHost) {
    if (!host_image_) throw sys::Error("use image", name, EPERM);
    return kHostImage;
  }
  std::string source = fmt::format("images/{}/rootfs", name);
  auto known = std::find_if(assembled_.begin(), assembled_.end(),
                            [&](const Assembled& image) { return image.name == name; });
  struct stat status;
  sys::Fd rootfs;
  try {
    rootfs = mounts::open_below(state_.get(), source.c_str(), source.c_str());
    sys::check(::fstat(rootfs.get(), &status), "stat", source);
  } catch (const sys::Error&) {
    if (known != assembled_.end()) drop(known);
    throw;
  }
  if (known != assembled_.end()) {
    if (known->device == status.st_dev && known->inode == status.st_ino) {
      assembled_.splice(assembled_.begin(), assembled_, known);
      return known->path.c_str();
    }
    drop(known);
  }
  if (assembled_.size() >= kAssembledMax) drop(std::prev(assembled_.end()));
  std::string path = fmt::format("{}/{}", kImages, name);
  assemble(name, rootfs.get(), path);
  assembled_.push_front({name, path, status.st_dev, status.st_ino});
  return assembled_.front().path.c_str();
}

void Images::assemble(const std::string& name, int rootfs, const std::string& path) const {
  for (const char* point : kMountPoints) {
    std::string object = fmt::format("images/{}/rootfs/{}", name, point);
    (void)mounts::open_below(rootfs, point, object.c_str());
  }
  sys::check(::mkdir(path.c_str(), 0755), "mkdir", path);
  try {
    sys::Fd root = mounts::clone(rootfs, "", Depth::kOne, path.c_str());
    mounts::attach_at(root.get(), path.c_str());
    attach_shared(root.get());
  } catch (...) {
    (void)::umount2(path.c_str(), MNT_DETACH);  // not mounted yet is as good
    (void)::rmdir(path.c_str());
    throw;
  }
}

void Images::drop(std::list<Assembled>::iterator image) {
  // Sandboxes have copies of their own.
  sys::check(::umount2(image->path.c_str(), MNT_DETACH), "umount", image->path);
  sys::check(::rmdir(image->path.c_str()), "rmdir", image->path);
  assembled_.erase(image);
}

sys::Fd Images::bundle(const std::string& hash) const {
  std::string path = "bundles/" + hash;
  sys::Fd folder = mounts::open_below(state_.get(), path.c_str(), path.c_str());
  return mounts::clone(folder.get(), "", Depth::kOne, path.c_str());
}

}  // namespace hearth::sandbox::spawner
