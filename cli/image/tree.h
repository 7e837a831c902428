// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

// Trees of files that root owns and others may have filled: every step goes by descriptor, follows
// no link and leaves no file system. All throw sys::Error, and Failure for a tree that is mounted
// upon or too deep.
namespace hearth::cli {

// Removes what `name` in the folder `parent` is, with all below it. Nothing there: no error.
void remove_tree(int parent, const std::string& name);

// Removes all below a folder, not the folder itself.
void empty_tree(int folder, const std::string& path);

struct Cleaned {
  uint64_t bytes = 0;  // on disk, hard links once
  uint64_t files = 0;
  uint64_t removed = 0;  // devices, sockets, pipes
  uint64_t changed = 0;  // setuid, setgid, sticky, world-writable or with file capabilities before
};

// Takes from a tree what a function must not find: device nodes, sockets and pipes; setuid, setgid
// and sticky bits and file capabilities; the right of everybody to write.
Cleaned clean_tree(int root);

// Bytes on disk of a tree that may be changing meanwhile.
uint64_t tree_bytes(int root);

// The first file below that is setuid, setgid or has capabilities; empty when there is none. Reads
// only.
std::string first_privileged(int root);

}  // namespace hearth::cli
