// SPDX-License-Identifier: Apache-2.0
#include "sandbox/spawner/mounts.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox/sys/error.h"

namespace hearth::sandbox::spawner::mounts {

sys::Fd create(const char* type, std::initializer_list<Option> options, unsigned attributes) {
  sys::Fd context(sys::check(::fsopen(type, FSOPEN_CLOEXEC), "fsopen", type));
  for (const Option& option : options) {
    sys::check(::fsconfig(context.get(), FSCONFIG_SET_STRING, option.name, option.value, 0),
               "fsconfig", option.name);
  }
  sys::check(::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0), "fsconfig create",
             type);
  return sys::Fd(
      sys::check(::fsmount(context.get(), FSMOUNT_CLOEXEC, attributes), "fsmount", type));
}

sys::Fd clone(int directory, const char* path, Depth depth, const char* object) {
  unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;
  if (depth == Depth::kRecursive) flags |= AT_RECURSIVE;
  if (*path == '\0') flags |= AT_EMPTY_PATH;
  return sys::Fd(sys::check(::open_tree(directory, path, flags), "open_tree", object));
}

void set_attributes(int tree, uint64_t attributes, Depth depth, const char* object) {
  mount_attr wanted{};
  wanted.attr_set = attributes;
  unsigned flags = AT_EMPTY_PATH | (depth == Depth::kRecursive ? unsigned{AT_RECURSIVE} : 0u);
  sys::check(::mount_setattr(tree, "", flags, &wanted, sizeof wanted), "mount_setattr", object);
}

void attach(int tree, int root, const char* target) {
  sys::Fd place = open_below(root, target, target);
  constexpr unsigned kByDescriptors = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
  sys::check(::move_mount(tree, "", place.get(), "", kByDescriptors), "move_mount", target);
}

void attach_at(int tree, const char* path) {
  sys::check(::move_mount(tree, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH), "move_mount", path);
}

sys::Fd try_open_below(int root, const char* path) {
  open_how how{};
  how.flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  return sys::Fd(static_cast<int>(::syscall(SYS_openat2, root, path, &how, sizeof how)));
}

sys::Fd open_below(int root, const char* path, const char* object) {
  sys::Fd folder = try_open_below(root, path);
  sys::check(folder.get(), "openat2", object);
  return folder;
}

void change_root(int root) {
  sys::check(::fchdir(root), "fchdir", "new root");
  // Old and new root at the same place: the old one lies on top until it is taken off.
  sys::check(::syscall(SYS_pivot_root, ".", "."), "pivot_root", ".");
  sys::check(::umount2(".", MNT_DETACH), "umount", "old root");
  sys::check(::chdir("/"), "chdir", "/");
}

}  // namespace hearth::sandbox::spawner::mounts
