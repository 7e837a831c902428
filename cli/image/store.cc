// SPDX-License-Identifier: Apache-2.0
#include "cli/image/store.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <memory>
#include <optional>
#include <vector>

#include "cli/failure.h"
#include "cli/image/tree.h"
#include "sandbox/sys/error.h"

namespace hearth::cli {
namespace {

// Of ".NAME.partial-PID" and ".NAME.removed-PID".
std::optional<pid_t> owner_of(std::string_view name) {
  if (!name.starts_with('.')) return std::nullopt;
  for (std::string_view middle : {".partial-", ".removed-"}) {
    size_t at = name.rfind(middle);
    if (at == std::string_view::npos) continue;
    std::string_view digits = name.substr(at + middle.size());
    pid_t pid = 0;
    auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), pid);
    if (error == std::errc() && end == digits.data() + digits.size() && pid > 0) return pid;
  }
  return std::nullopt;
}

}  // namespace

void check_image_name(const std::string& name) {
  bool valid =
      !name.empty() && name.size() <= 63 && std::all_of(name.begin(), name.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
      });
  if (!valid) {
    throw Failure(
        Status::kUsage,
        fmt::format("'{}' cannot be an image's name; write 1 to 63 of a-z, 0-9 and -", name));
  }
  if (name == "host")
    throw Failure(Status::kUsage,
                  "'host' is this host's own /usr; it is neither built nor deleted");
}

ImageStore::ImageStore(const std::string& state_dir) : path_(state_dir + "/images") {
  int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
  sys::Fd state(sys::check(::open(state_dir.c_str(), flags), "open the state folder", state_dir));
  if (::mkdirat(state.get(), "images", 0755) != 0 && errno != EEXIST)
    throw sys::Error("mkdir", path_, errno);
  folder_.reset(sys::check(::openat(state.get(), "images", flags | O_NOFOLLOW), "open", path_));
  remove_leftovers();
}

void ImageStore::remove_leftovers() {
  std::unique_ptr<DIR, int (*)(DIR*)> dir(
      ::opendir(fmt::format("/proc/self/fd/{}", folder_.get()).c_str()), ::closedir);
  if (!dir) throw sys::Error("opendir", path_, errno);
  std::vector<std::string> leftovers;
  while (dirent* entry = ::readdir(dir.get())) {
    std::optional<pid_t> owner = owner_of(entry->d_name);
    if (owner && ::kill(*owner, 0) != 0 && errno == ESRCH) leftovers.push_back(entry->d_name);
  }
  for (const std::string& name : leftovers) remove_tree(folder_.get(), name);
}

bool ImageStore::exists(const std::string& name) const {
  struct stat status {};
  return ::fstatat(folder_.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0;
}

std::string ImageStore::partial(const std::string& name) const {
  return fmt::format(".{}.partial-{}", name, ::getpid());
}

sys::Fd ImageStore::make_partial(const std::string& name) {
  std::string partial_name = partial(name);
  sys::check(::mkdirat(folder_.get(), partial_name.c_str(), 0700), "mkdir",
             path_ + "/" + partial_name);
  int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  sys::Fd fd(
      sys::check(::openat(folder_.get(), partial_name.c_str(), flags), "open", partial_name));
  struct stat status {};
  sys::check(::fstat(fd.get(), &status), "stat", partial_name);
  if (status.st_uid != ::geteuid() || (status.st_mode & 07777) != 0700) {
    throw Failure(Status::kRefused,
                  fmt::format("somebody replaced '{}/{}' just now; look who writes to that folder",
                              path_, partial_name));
  }
  return fd;
}

void ImageStore::publish(const std::string& name) {
  sys::check(::renameat2(folder_.get(), partial(name).c_str(), folder_.get(), name.c_str(),
                         RENAME_NOREPLACE),
             "rename to", path_ + "/" + name);
}

void ImageStore::remove_partial(const std::string& name) {
  remove_tree(folder_.get(), partial(name));
}

void ImageStore::remove(const std::string& name) {
  std::string json = name + "/image.json";
  struct stat status {};
  if (::fstatat(folder_.get(), json.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0 ||
      !S_ISREG(status.st_mode)) {
    throw Failure(Status::kRefused,
                  fmt::format("'{}/{}' is no image: it holds no image.json", path_, name));
  }
  std::string removed = fmt::format(".{}.removed-{}", name, ::getpid());
  sys::check(
      ::renameat2(folder_.get(), name.c_str(), folder_.get(), removed.c_str(), RENAME_NOREPLACE),
      "rename", path_ + "/" + name);
  remove_tree(folder_.get(), removed);
}

}  // namespace hearth::cli
