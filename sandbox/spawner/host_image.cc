// SPDX-License-Identifier: Apache-2.0
#include "sandbox/spawner/host_image.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <climits>
#include <memory>
#include <string>
#include <string_view>

#include "sandbox/spawner/mounts.h"
#include "sandbox/sys/error.h"

namespace hearth::sandbox::spawner {
namespace {

using mounts::Depth;

constexpr const char* kFolders[] = {"usr", "etc", "etc/ssl",  "proc",        "dev",
                                    "tmp", "var", "var/task", "var/runtime", "root"};
// Merged-/usr hosts have links here; on others these are folders and are left out.
constexpr const char* kUsrLinks[] = {"bin", "sbin", "lib", "lib32", "lib64", "libx32"};
// Copies, so that a later change of the host's is not half visible. Nothing private, no host name.
constexpr const char* kPublic[] = {"etc/alternatives", "etc/ld.so.cache", "etc/ssl/certs",
                                   "etc/ssl/openssl.cnf"};
// And what a Java runtime in /usr has links to, a folder for each version: java-17-openjdk.
constexpr std::string_view kJavaPrefix = "java-";
constexpr off_t kFileBytesMax = 4 << 20;
constexpr int kDepthMax = 4;

struct File {
  const char* path;
  std::string_view text;
};
constexpr File kFiles[] = {
    {"etc/passwd",
     "root:x:0:0:root:/root:/usr/sbin/nologin\n"
     "function:x:1000:1000:function:/tmp:/bin/sh\n"
     "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"},
    {"etc/group", "root:x:0:\nfunction:x:1000:\nnogroup:x:65534:\n"},
    {"etc/hosts", "127.0.0.1 localhost hearth\n::1 localhost\n"},
    {"etc/nsswitch.conf",
     "passwd: files\ngroup: files\nshadow: files\nhosts: files\nservices: files\n"},
};

void write_all(int fd, std::string_view text, const char* object) {
  while (!text.empty()) {
    ssize_t written = sys::check(::write(fd, text.data(), text.size()), "write", object);
    text.remove_prefix(size_t(written));
  }
}

sys::Fd create_file(int root, const char* path) {
  int fd = ::openat(root, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  return sys::Fd(sys::check(fd, "create", path));
}

void copy_file(int from, int to, const char* name, const struct stat& status) {
  if (!(status.st_mode & S_IROTH) || status.st_size > kFileBytesMax) return;
  sys::Fd in(sys::check(::openat(from, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), "open", name));
  sys::Fd out = create_file(to, name);
  char part[65536];
  ssize_t got;
  while ((got = ::read(in.get(), part, sizeof part)) > 0) {
    write_all(out.get(), {part, size_t(got)}, name);
  }
  sys::check(got, "read", name);
}

void copy_link(int from, int to, const char* name) {
  char target[PATH_MAX];
  ssize_t size = sys::check(::readlinkat(from, name, target, sizeof target - 1), "readlink", name);
  target[size] = '\0';
  sys::check(::symlinkat(target, to, name), "symlink", name);
}

void copy_public(int from, int to, const char* name, int depth);

void copy_folder(int from, int to, const char* name, int depth) {
  int fd = ::openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  sys::check(fd, "open", name);
  std::unique_ptr<DIR, int (*)(DIR*)> source(::fdopendir(fd), ::closedir);
  sys::check(::mkdirat(to, name, 0755), "mkdir", name);
  sys::Fd target(sys::check(::openat(to, name, O_PATH | O_DIRECTORY | O_CLOEXEC), "open", name));
  while (dirent* entry = ::readdir(source.get())) {
    std::string_view child = entry->d_name;
    if (child != "." && child != "..") copy_public(fd, target.get(), entry->d_name, depth + 1);
  }
}

// What is there and readable by everybody; other kinds and what is absent are left out.
void copy_public(int from, int to, const char* name, int depth) {
  struct stat status;
  if (depth > kDepthMax || ::fstatat(from, name, &status, AT_SYMLINK_NOFOLLOW) < 0) return;
  if (S_ISREG(status.st_mode)) copy_file(from, to, name, status);
  if (S_ISLNK(status.st_mode)) copy_link(from, to, name);
  if (S_ISDIR(status.st_mode)) copy_folder(from, to, name, depth);
}

void copy_java(int host, int root) {
  int fd = ::openat(host, "etc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  sys::check(fd, "open", "/etc");
  std::unique_ptr<DIR, int (*)(DIR*)> etc(::fdopendir(fd), ::closedir);
  sys::Fd target(
      sys::check(::openat(root, "etc", O_PATH | O_DIRECTORY | O_CLOEXEC), "open", "etc"));
  while (dirent* entry = ::readdir(etc.get())) {
    if (std::string_view(entry->d_name).starts_with(kJavaPrefix))
      copy_public(fd, target.get(), entry->d_name, 0);
  }
}

}  // namespace

HostImage make_host_image() {
  HostImage image;
  image.usr = mounts::clone(AT_FDCWD, "/usr", Depth::kRecursive, "/usr");
  mounts::set_attributes(image.usr.get(), MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV,
                         Depth::kRecursive, "/usr");
  image.root = mounts::create("tmpfs", {{"mode", "0755"}, {"size", "32m"}, {"nr_inodes", "8192"}},
                              MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
  int root = image.root.get();
  for (const char* folder : kFolders) sys::check(::mkdirat(root, folder, 0755), "mkdir", folder);
  for (const File& file : kFiles) {
    write_all(create_file(root, file.path).get(), file.text, file.path);
  }
  sys::Fd host(sys::check(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC), "open", "/"));
  for (const char* link : kUsrLinks) {
    struct stat status;
    if (::fstatat(host.get(), link, &status, AT_SYMLINK_NOFOLLOW) < 0) continue;
    if (S_ISLNK(status.st_mode)) copy_link(host.get(), root, link);
  }
  for (const char* path : kPublic) copy_public(host.get(), root, path, 0);
  copy_java(host.get(), root);
  return image;
}

void attach_host_image(const HostImage& image, int directory, const char* target) {
  mounts::attach(image.root.get(), directory, target);
  mounts::attach(image.usr.get(), image.root.get(), "usr");
  mounts::set_attributes(image.root.get(), MOUNT_ATTR_RDONLY, Depth::kOne, target);
}

}  // namespace hearth::sandbox::spawner
