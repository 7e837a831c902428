// SPDX-License-Identifier: Apache-2.0
#include "cli/pack.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstdlib>
#include <memory>
#include <vector>

#include "cli/failure.h"
#include "cli/ignore.h"
#include "sandbox/sys/error.h"

namespace hearth::cli {
namespace {

constexpr size_t kDepthMax = 256;             // of folders: more is a mistake or a loop of mounts
constexpr size_t kIgnoreBytesMax = 1u << 20;  // of .hearthignore

struct ArchiveDelete {
  void operator()(archive* a) const { archive_write_free(a); }
  void operator()(archive_entry* e) const { archive_entry_free(e); }
};
using Archive = std::unique_ptr<archive, ArchiveDelete>;
using Entry = std::unique_ptr<archive_entry, ArchiveDelete>;

void check(archive* a, int result) {
  if (result == ARCHIVE_OK) return;
  const char* why = archive_error_string(a);
  throw Failure(Status::kRefused,
                fmt::format("cannot pack the folder: {}", why ? why : "libarchive failed"));
}

sys::Fd nameless_file() {
  const char* folder = std::getenv("TMPDIR");
  std::string path = fmt::format("{}/hearth-deploy-XXXXXX", folder && *folder ? folder : "/tmp");
  sys::Fd fd(sys::check(::mkostemp(path.data(), O_CLOEXEC), "mkostemp", path));
  sys::check(::unlink(path.c_str()), "unlink", path);
  return fd;
}

class Packer {
 public:
  Packer(archive* to, Ignore ignore, const std::function<void(uint64_t, uint64_t)>& on_file)
      : to_(to), ignore_(std::move(ignore)), on_file_(on_file) {}

  void folder(int fd, const std::string& path, size_t depth);
  uint64_t files() const { return files_; }

 private:
  void entry(int parent, const std::string& name, const std::string& path, size_t depth);
  void header(const std::string& path, mode_t mode, uint64_t bytes, const std::string& target);
  void content(int fd, const std::string& path, uint64_t bytes);

  archive* to_;
  Ignore ignore_;
  const std::function<void(uint64_t, uint64_t)>& on_file_;
  uint64_t files_ = 0, bytes_ = 0;
};

std::vector<std::string> names_in(int fd, const std::string& path) {
  // A copy: closing the DIR closes its descriptor.
  sys::Fd copy(sys::check(::openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open", path));
  std::unique_ptr<DIR, int (*)(DIR*)> dir(::fdopendir(copy.get()), ::closedir);
  if (!dir) throw sys::Error("fdopendir", path, errno);
  (void)copy.release();
  std::vector<std::string> names;
  errno = 0;
  while (dirent* entry = ::readdir(dir.get())) {
    std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(std::move(name));
  }
  if (errno != 0) throw sys::Error("readdir", path, errno);
  std::sort(names.begin(), names.end());
  return names;
}

void Packer::folder(int fd, const std::string& path, size_t depth) {
  if (depth > kDepthMax)
    throw Failure(Status::kRefused, fmt::format("'{}...' is more than {} folders deep",
                                                path.substr(0, 80), kDepthMax));
  for (const std::string& name : names_in(fd, path))
    entry(fd, name, path.empty() ? name : path + "/" + name, depth);
}

void Packer::entry(int parent, const std::string& name, const std::string& path, size_t depth) {
  struct stat stat {};
  sys::check(::fstatat(parent, name.c_str(), &stat, AT_SYMLINK_NOFOLLOW), "stat", path);
  if (ignore_.ignores(path, S_ISDIR(stat.st_mode))) return;
  if (S_ISLNK(stat.st_mode)) {
    std::array<char, PATH_MAX> target{};
    ssize_t n = sys::check(::readlinkat(parent, name.c_str(), target.data(), target.size()),
                           "readlink", path);
    return header(path, S_IFLNK | 0777, 0, std::string(target.data(), static_cast<size_t>(n)));
  }
  if (!S_ISDIR(stat.st_mode) && !S_ISREG(stat.st_mode)) {
    throw Failure(
        Status::kRefused,
        fmt::format("'{}' is neither a file, a folder nor a link; a bundle cannot hold it "
                    "(leave it out with a line in .hearthignore)",
                    path));
  }
  int flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
  sys::Fd fd(sys::check(::openat(parent, name.c_str(), flags), "open", path));
  if (S_ISDIR(stat.st_mode)) {
    header(path, S_IFDIR | 0755, 0, {});
    return folder(fd.get(), path, depth + 1);
  }
  header(path, S_IFREG | (stat.st_mode & 0111 ? 0755 : 0644), static_cast<uint64_t>(stat.st_size),
         {});
  content(fd.get(), path, static_cast<uint64_t>(stat.st_size));
  on_file_(++files_, bytes_);
}

void Packer::header(const std::string& path, mode_t mode, uint64_t bytes,
                    const std::string& target) {
  Entry entry(archive_entry_new());
  archive_entry_set_pathname(entry.get(), path.c_str());
  archive_entry_set_mode(entry.get(), mode);
  archive_entry_set_size(entry.get(), static_cast<la_int64_t>(bytes));
  if (!target.empty()) archive_entry_set_symlink(entry.get(), target.c_str());
  check(to_, archive_write_header(to_, entry.get()));
}

void Packer::content(int fd, const std::string& path, uint64_t bytes) {
  std::array<char, 128 * 1024> buffer;
  uint64_t left = bytes;
  for (;;) {
    ssize_t n = sys::check(::read(fd, buffer.data(), buffer.size()), "read", path);
    auto size = static_cast<uint64_t>(n);
    if (n == 0 && left == 0) return;
    if (n == 0 || size > left)
      throw Failure(Status::kRefused,
                    fmt::format("'{}' changed while it was packed; deploy again", path));
    if (archive_write_data(to_, buffer.data(), size) != n) check(to_, ARCHIVE_FATAL);
    left -= size;
    bytes_ += size;
  }
}

Ignore read_ignore(int folder) {
  sys::Fd fd(::openat(folder, ".hearthignore", O_RDONLY | O_CLOEXEC));
  if (!fd) return Ignore();
  std::string text(kIgnoreBytesMax, '\0');
  ssize_t n = sys::check(::read(fd.get(), text.data(), text.size()), "read", ".hearthignore");
  text.resize(static_cast<size_t>(n));
  return Ignore(text);
}

}  // namespace

Packed pack_folder(const std::string& folder,
                   const std::function<void(uint64_t, uint64_t)>& on_file) {
  sys::Fd root(
      sys::check(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open", folder));
  Packed packed;
  packed.file = nameless_file();
  Archive to(archive_write_new());
  check(to.get(), archive_write_set_format_pax_restricted(to.get()));
  check(to.get(), archive_write_add_filter_gzip(to.get()));
  check(to.get(), archive_write_set_filter_option(to.get(), "gzip", "timestamp", nullptr));
  check(to.get(), archive_write_open_fd(to.get(), packed.file.get()));
  Packer packer(to.get(), read_ignore(root.get()), on_file);
  packer.folder(root.get(), "", 0);
  check(to.get(), archive_write_close(to.get()));
  packed.files = packer.files();
  off_t end = sys::check(::lseek(packed.file.get(), 0, SEEK_END), "lseek", "the packed bundle");
  packed.bytes = static_cast<uint64_t>(end);
  sys::check(::lseek(packed.file.get(), 0, SEEK_SET), "lseek", "the packed bundle");
  return packed;
}

}  // namespace hearth::cli
