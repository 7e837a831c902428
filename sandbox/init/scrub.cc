// SPDX-License-Identifier: Apache-2.0
#include "sandbox/init/scrub.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <string_view>

#include "sandbox/spec.h"
#include "sandbox/sys/error.h"

namespace hearth::sandbox::init {
namespace {

// Empties a folder without recursion: a folder in it that is not empty has its own folders moved up
// to the root, one level below which everything is then found again. However deep the tree, two
// descriptors and names of two parts are enough, and each folder is moved once.
class Walk {
 public:
  Walk(const std::string& path, int root, Clock::time_point deadline)
      : path_(path), root_(root), deadline_(deadline) {}

  void empty_root() {
    while (each_entry(root_, [this](const dirent64& entry) { remove_from_root(entry); })) {
    }
  }

 private:
  // Calls `visit` for the entries of one getdents; false when there were none. What a visit removes
  // or adds may or may not be seen, so callers ask until the folder is empty.
  template <typename Visit>
  bool each_entry(int folder, Visit visit) {
    if (Clock::now() >= deadline_) throw sys::Error("scrub", path_, ETIMEDOUT);
    sys::check(::lseek(folder, 0, SEEK_SET), "lseek", path_);
    alignas(dirent64) std::array<char, 16 * 1024> buffer;
    ssize_t size =
        sys::check(::getdents64(folder, buffer.data(), buffer.size()), "getdents", path_);
    bool found = false;
    for (ssize_t at = 0; at < size;) {
      const auto* entry = reinterpret_cast<const dirent64*>(buffer.data() + at);
      at += entry->d_reclen;
      std::string_view name = entry->d_name;
      if (name == "." || name == "..") continue;
      found = true;
      visit(*entry);
    }
    return found;
  }

  void remove_from_root(const dirent64& entry) {
    if (unlink(root_, entry)) return;
    sys::Fd folder(
        sys::check(::openat(root_, entry.d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC),
                   "open", name_of(entry)));
    while (each_entry(folder.get(), [&](const dirent64& inner) {
      if (!unlink(folder.get(), inner)) move_up(folder.get(), inner);
    })) {
    }
    sys::check(::unlinkat(root_, entry.d_name, AT_REMOVEDIR), "rmdir", name_of(entry));
  }

  // False: a folder that is not empty.
  bool unlink(int folder, const dirent64& entry) {
    int flags = entry.d_type == DT_DIR ? AT_REMOVEDIR : 0;
    for (;;) {
      if (::unlinkat(folder, entry.d_name, flags) == 0) return true;
      int error = errno;
      if (error == ENOTEMPTY) return false;
      if (error != EPERM || !take_sticky_away(folder))
        throw sys::Error("unlink", name_of(entry), error);
    }
  }

  void move_up(int folder, const dirent64& entry) {
    for (;;) {
      std::array<char, 32> name;
      std::snprintf(name.data(), name.size(), "moved-up.%llu", next_name_++);
      if (::renameat2(folder, entry.d_name, root_, name.data(), RENAME_NOREPLACE) == 0) return;
      int error = errno;
      if (error == EPERM && take_sticky_away(folder)) continue;
      // A name that the user thought of first: each such one was made, so there are not many.
      if (error != EEXIST) throw sys::Error("rename", name_of(entry), error);
    }
  }

  // In a sticky folder only its owner or the file's may remove; we may override modes, not owners
  // (no CAP_FOWNER). So change the mode as the owner. False: it was not sticky, or not the user's.
  bool take_sticky_away(int folder) {
    struct stat status;
    if (folder == root_ || ::fstat(folder, &status) < 0 || !(status.st_mode & S_ISVTX))
      return false;
    ::setfsuid(kUserUid);
    int rc = ::fchmod(folder, 0700);
    ::setfsuid(kInitUid);
    // Changing ids forgets this.
    sys::check(::prctl(PR_SET_PDEATHSIG, SIGKILL), "prctl", "PR_SET_PDEATHSIG");
    return rc == 0;
  }

  std::string name_of(const dirent64& entry) const { return path_ + ": " + entry.d_name; }

  const std::string& path_;
  int root_;
  Clock::time_point deadline_;
  unsigned long long next_name_ = 0;
};

}  // namespace

Scratch::Scratch(const std::string& path)
    : path_(path),
      root_(sys::check(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC),
                       "open", path)) {}

// A tmpfs counts its inodes, also those that have no name any more: one is its root. Where the
// count is unlimited the kernel does not tell it.
bool Scratch::untouched() const {
  struct statfs status;
  sys::check(::fstatfs(root_.get(), &status), "statfs", path_);
  return status.f_type == TMPFS_MAGIC && status.f_files > 0 && status.f_files - status.f_ffree == 1;
}

void Scratch::empty(Clock::time_point deadline) {
  // The walk ends when it sees nothing, so it verifies itself.
  if (!untouched()) Walk(path_, root_.get(), deadline).empty_root();
  const timespec epoch[2] = {};
  sys::check(::futimens(root_.get(), epoch), "futimens", path_);
}

Scratch::Usage Scratch::usage() const {
  struct statfs status;
  sys::check(::fstatfs(root_.get(), &status), "statfs", path_);
  auto unit = uint64_t(status.f_bsize);
  return {(status.f_blocks - status.f_bfree) * unit, status.f_blocks * unit};
}

}  // namespace hearth::sandbox::init
