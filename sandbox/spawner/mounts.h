// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/mount.h>

#include <cstdint>
#include <initializer_list>
#include <string_view>

#include "sandbox/sys/fd.h"

// The kernel's descriptor-based mount calls, as used by the spawner and by a sandbox' set-up. No
// path is bound first and restricted later: a mount has its attributes before it has a place.
// All throw sys::Error; none allocates unless it throws.
namespace hearth::sandbox::spawner::mounts {

struct Option {
  const char* name;
  const char* value;
};

// A new file system, not yet attached. `attributes` are MOUNT_ATTR_*.
sys::Fd create(const char* type, std::initializer_list<Option> options, unsigned attributes);

// A copy of the mount at `path` (empty: `directory` itself), not yet attached.
enum class Depth { kOne, kRecursive };
sys::Fd clone(int directory, const char* path, Depth depth, const char* object);

// Sets MOUNT_ATTR_* on a mount that is not attached, or on all mounts of the tree.
void set_attributes(int tree, uint64_t attributes, Depth depth, const char* object);

// At a folder below `root`, as open_below finds it: whoever owns an image can put a link in the
// place of any of its folders, at any time. `root` may be AT_FDCWD.
void attach(int tree, int root, const char* target);

// At a path that only the spawner, or the operator, can change.
void attach_at(int tree, const char* path);

// Opens an existing folder below `root`: no symbolic link on the way, never outside.
sys::Fd open_below(int root, const char* path, const char* object);

// The same for who must not throw: empty, and errno says why.
sys::Fd try_open_below(int root, const char* path);

// Makes the attached tree `root` this process' root and forgets the old one.
void change_root(int root);

}  // namespace hearth::sandbox::spawner::mounts
