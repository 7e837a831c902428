// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "daemon/registry/bundle.h"
#include "sandbox/sys/error.h"

using namespace hearth::registry;
namespace fs = std::filesystem;

namespace {

// A folder in memory, gone with the process.
class Scratch {
 public:
  Scratch() {
    char name[] = "/dev/shm/hearth-bundle-fuzz-XXXXXX";
    HEARTH_CHECK(::mkdtemp(name));
    dir_ = name;
  }
  ~Scratch() { fs::remove_all(dir_); }
  const std::string& dir() const { return dir_; }

 private:
  std::string dir_;
};

void check_tree(const fs::path& root) {
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    struct stat status;
    HEARTH_CHECK(::lstat(entry.path().c_str(), &status) == 0);
    if (S_ISLNK(status.st_mode)) {
      // Where the text leads from its folder, links on the way not followed.
      fs::path to = entry.path().parent_path() / fs::read_symlink(entry.path());
      std::string clean = to.lexically_normal();
      HEARTH_CHECK((clean + "/").starts_with(root.native() + "/"));
      continue;
    }
    bool plain = S_ISREG(status.st_mode) && status.st_nlink == 1 &&
                 ((status.st_mode & 07777) == 0644 || (status.st_mode & 07777) == 0755);
    HEARTH_CHECK(plain || (S_ISDIR(status.st_mode) && (status.st_mode & 07777) == 0755));
  }
}

}  // namespace

// Any bytes are either unpacked within their bounds into the target, or refused with nothing left.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  static Scratch scratch;
  std::string archive = scratch.dir() + "/archive", target = scratch.dir() + "/target";
  int fd = ::open(archive.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  HEARTH_CHECK(fd >= 0 && ::write(fd, bytes, size) == static_cast<ssize_t>(size));
  ::close(fd);
  BundleBounds bounds;
  bounds.bytes_max = 1u << 20;
  bounds.entries_max = 32;
  bounds.depth_max = 8;
  auto result = unpack(archive, target, bounds);
  if (auto* bundle = std::get_if<Bundle>(&result)) {
    HEARTH_CHECK(bundle->bytes <= bounds.bytes_max && bundle->entries <= bounds.entries_max);
    HEARTH_CHECK(bundle->hash.size() == 64);
    check_tree(target);
    fs::remove_all(target);
  } else {
    HEARTH_CHECK(!std::get<BundleError>(result).message.empty());
  }
  // Nothing but the archive may be left, in the target or beside it.
  HEARTH_CHECK(std::distance(fs::directory_iterator(scratch.dir()), fs::directory_iterator()) == 1);
  return 0;
}
