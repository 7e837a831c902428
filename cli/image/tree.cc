// SPDX-License-Identifier: Apache-2.0
#include "cli/image/tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <set>
#include <vector>

#include "cli/failure.h"
#include "sandbox/sys/error.h"
#include "sandbox/sys/fd.h"

namespace hearth::cli {
namespace {

constexpr size_t kDepthMax = 512;
constexpr const char* kCapabilities = "security.capability";
constexpr mode_t kUnwanted = S_ISUID | S_ISGID | S_ISVTX | S_IWOTH;

std::vector<std::string> names_in(int folder, const std::string& path) {
  int copy = sys::check(::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open", path);
  std::unique_ptr<DIR, int (*)(DIR*)> dir(::fdopendir(copy), ::closedir);
  if (!dir) {
    int code = errno;
    ::close(copy);
    throw sys::Error("fdopendir", path, code);
  }
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    dirent* entry = ::readdir(dir.get());
    if (!entry && errno != 0) throw sys::Error("readdir", path, errno);
    if (!entry) return names;
    std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(std::move(name));
  }
}

// One entry on the way, before what is below it.
struct Entry {
  int parent;
  const std::string& name;
  const std::string& path;  // from the start of the walk
  const struct stat& status;
};

// Walks a tree on one file system. `before` sees each entry, folders before what is in them;
// `after` sees folders again when all in them was seen. An entry that vanishes meanwhile is passed
// over.
class Walk {
 public:
  using Visit = std::function<void(const Entry&)>;
  Walk(Visit before, Visit after) : before_(std::move(before)), after_(std::move(after)) {}

  void folder(int fd, const std::string& path, size_t depth = 0) {
    struct stat status {};
    sys::check(::fstat(fd, &status), "stat", path);
    if (depth == 0) device_ = status.st_dev;
    if (status.st_dev != device_) {
      std::string why = fmt::format("'{}' is a mount point; unmount it first", path);
      throw Failure(Status::kRefused, why);
    }
    if (depth > kDepthMax) {
      throw Failure(Status::kRefused, fmt::format("'{}...' is more than {} folders deep",
                                                  path.substr(0, 80), kDepthMax));
    }
    for (const std::string& name : names_in(fd, path)) entry(fd, name, path + "/" + name, depth);
  }

 private:
  void entry(int parent, const std::string& name, const std::string& path, size_t depth) {
    struct stat status {};
    if (::fstatat(parent, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT) return;
      throw sys::Error("stat", path, errno);
    }
    Entry entry{parent, name, path, status};
    before_(entry);
    if (!S_ISDIR(status.st_mode)) return;
    {
      int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
      sys::Fd fd(::openat(parent, name.c_str(), flags));
      if (!fd && errno == ENOENT) return;
      folder(sys::check(fd.get(), "open", path), path, depth + 1);
    }
    after_(entry);
  }

  Visit before_, after_;
  dev_t device_ = 0;
};

void ignore(const Entry&) {}

void unlink_entry(const Entry& entry, int flags) {
  if (::unlinkat(entry.parent, entry.name.c_str(), flags) != 0 && errno != ENOENT)
    throw sys::Error("unlink", entry.path, errno);
}

void clean_entry(const Entry& entry, Cleaned& cleaned) {
  mode_t type = entry.status.st_mode & S_IFMT;
  if (type == S_IFLNK) return;
  if (type != S_IFREG && type != S_IFDIR) {
    unlink_entry(entry, 0);
    ++cleaned.removed;
    return;
  }
  int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
  sys::Fd fd(sys::check(::openat(entry.parent, entry.name.c_str(), flags), "open", entry.path));
  bool capable = ::fgetxattr(fd.get(), kCapabilities, nullptr, 0) >= 0;
  if (capable) sys::check(::fremovexattr(fd.get(), kCapabilities), "fremovexattr", entry.path);
  mode_t mode = entry.status.st_mode & 07777;
  if (mode & kUnwanted) sys::check(::fchmod(fd.get(), mode & ~kUnwanted), "chmod", entry.path);
  if (capable || (mode & kUnwanted)) ++cleaned.changed;
}

}  // namespace

void empty_tree(int folder, const std::string& path) {
  Walk walk(
      [](const Entry& entry) {
        if (!S_ISDIR(entry.status.st_mode)) unlink_entry(entry, 0);
      },
      [](const Entry& entry) { unlink_entry(entry, AT_REMOVEDIR); });
  walk.folder(folder, path);
}

void remove_tree(int parent, const std::string& name) {
  sys::Fd fd(::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  int code = fd ? 0 : errno;
  if (code == ENOENT) return;
  if (code == ENOTDIR || code == ELOOP) {  // a file or a link
    sys::check(::unlinkat(parent, name.c_str(), 0), "unlink", name);
    return;
  }
  if (code != 0) throw sys::Error("open", name, code);
  empty_tree(fd.get(), name);
  sys::check(::unlinkat(parent, name.c_str(), AT_REMOVEDIR), "rmdir", name);
}

Cleaned clean_tree(int root) {
  Cleaned cleaned;
  std::set<ino_t> linked;
  Walk walk(
      [&](const Entry& entry) {
        clean_entry(entry, cleaned);
        ++cleaned.files;
        if (!S_ISDIR(entry.status.st_mode) && entry.status.st_nlink > 1 &&
            !linked.insert(entry.status.st_ino).second)
          return;
        cleaned.bytes += static_cast<uint64_t>(entry.status.st_blocks) * 512;
      },
      ignore);
  walk.folder(root, "");
  return cleaned;
}

uint64_t tree_bytes(int root) {
  uint64_t bytes = 0;
  Walk walk([&](const Entry& e) { bytes += static_cast<uint64_t>(e.status.st_blocks) * 512; },
            ignore);
  walk.folder(root, "");
  return bytes;
}

std::string first_privileged(int root) {
  std::string found;
  Walk walk(
      [&](const Entry& entry) {
        if (!found.empty() || !S_ISREG(entry.status.st_mode)) return;
        if (entry.status.st_mode & (S_ISUID | S_ISGID)) found = entry.path;
        int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
        sys::Fd fd(::openat(entry.parent, entry.name.c_str(), flags));
        if (fd && ::fgetxattr(fd.get(), kCapabilities, nullptr, 0) >= 0) found = entry.path;
      },
      ignore);
  walk.folder(root, "");
  return found;
}

}  // namespace hearth::cli
