// SPDX-License-Identifier: Apache-2.0
#include "sandbox/spawner/stage.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "sandbox/spawner/host_image.h"
#include "sandbox/spawner/mounts.h"
#include "sandbox/sys/error.h"

namespace hearth::sandbox::spawner {
namespace {

using mounts::Depth;
constexpr uint64_t kReadOnly = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;

sys::Fd clone_read_only(const std::string& path) {
  sys::Fd tree = mounts::clone(AT_FDCWD, path.c_str(), Depth::kRecursive, path.c_str());
  mounts::set_attributes(tree.get(), kReadOnly, Depth::kRecursive, path.c_str());
  return tree;
}

void make_folder(int root, const char* path) {
  sys::check(::mkdirat(root, path, 0755), "mkdir", path);
}

void make_link(int root, const char* target, const char* path) {
  sys::check(::symlinkat(target, root, path), "symlink", path);
}

// Nodes instead of binds of the host's: one mount per sandbox, not six.
sys::Fd make_dev() {
  sys::Fd dev = mounts::create("tmpfs", {{"mode", "0755"}, {"size", "64k"}, {"nr_inodes", "32"}},
                               MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
  struct Node {
    const char* name;
    unsigned minor;
  };
  constexpr Node kNodes[] = {{"null", 3}, {"zero", 5}, {"full", 7}, {"random", 8}, {"urandom", 9}};
  for (const Node& node : kNodes) {
    sys::check(::mknodat(dev.get(), node.name, S_IFCHR | 0666, makedev(1, node.minor)), "mknod",
               node.name);
    sys::check(::fchmodat(dev.get(), node.name, 0666, 0), "chmod", node.name);
  }
  make_folder(dev.get(), "shm");
  make_link(dev.get(), "/proc/self/fd", "fd");
  make_link(dev.get(), "/proc/self/fd/0", "stdin");
  make_link(dev.get(), "/proc/self/fd/1", "stdout");
  make_link(dev.get(), "/proc/self/fd/2", "stderr");
  mounts::set_attributes(dev.get(), MOUNT_ATTR_RDONLY, Depth::kOne, "dev");
  return dev;
}

}  // namespace

sys::Fd open_init(const std::string& path) {
  sys::Fd init = mounts::clone(AT_FDCWD, path.c_str(), Depth::kOne, path.c_str());
  mounts::set_attributes(init.get(), kReadOnly, Depth::kOne, path.c_str());
  return init;
}

void enter_stage(const SpawnerPolicy& policy) {
  sys::check(::unshare(CLONE_NEWNS), "unshare", "mount namespace");
  mount_attr apart{};
  apart.propagation = MS_PRIVATE;
  sys::check(::mount_setattr(AT_FDCWD, "/", AT_RECURSIVE, &apart, sizeof apart), "mount_setattr",
             "/");
  sys::Fd proc = mounts::clone(AT_FDCWD, "/proc", Depth::kRecursive, "/proc");
  sys::Fd state = clone_read_only(policy.state_dir);
  sys::Fd runtimes = clone_read_only(policy.runtimes_dir);
  HostImage host = policy.host_image ? make_host_image() : HostImage{};
  sys::Fd dev = make_dev();

  sys::Fd root = mounts::create("tmpfs", {{"mode", "0755"}, {"size", "1m"}, {"nr_inodes", "1024"}},
                                MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
  for (const char* folder : {"proc", "state", "runtimes", "dev", "images", "box"}) {
    make_folder(root.get(), folder);
  }
  // Any folder will do for a moment: what is mounted on it is the next root.
  mounts::attach_at(root.get(), policy.state_dir.c_str());
  mounts::attach(proc.get(), root.get(), "proc");
  mounts::attach(state.get(), root.get(), "state");
  mounts::attach(runtimes.get(), root.get(), "runtimes");
  mounts::attach(dev.get(), root.get(), "dev");
  if (policy.host_image) {
    make_folder(root.get(), "images/host");
    attach_host_image(host, root.get(), "images/host");
  }
  mounts::change_root(root.get());
}

}  // namespace hearth::sandbox::spawner
