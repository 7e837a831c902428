// SPDX-License-Identifier: Apache-2.0
#include "daemon/registry/tree_writer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon/registry/digest.h"
#include "daemon/settings/reader.h"
#include "sandbox/sys/error.h"

namespace hearth::registry {
namespace {

// Up to here each file is synced by itself; beyond, one sync of the whole filesystem is faster.
constexpr size_t kSyncEachMax = 128;

BundleError refuse(const std::string& path, std::string_view reason) {
  return {fmt::format("'{}' in the archive: {}", settings::shown(path), reason), {}, {}};
}

std::string name_in(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

}  // namespace

TreeWriter::TreeWriter(const std::string& target, const BundleBounds& bounds)
    : target_(target), bounds_(bounds) {
  sys::check(::mkdir(target.c_str(), 0700), "mkdir", target);
  try {
    root_.reset(sys::check(::open(target.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC),
                           "open", target));
    // The modes are the same whatever the daemon's umask and the parent's setgid bit.
    sys::check(::fchmod(root_.get(), 0755), "chmod", target);
  } catch (...) {
    ::rmdir(target.c_str());
    throw;
  }
}

// Needs no descriptor, as there may be none left. What cannot be removed (an I/O error) is removed
// with the folder that holds `target` when hearthd starts again.
TreeWriter::~TreeWriter() {
  if (kept_) return;
  for (auto node = nodes_.rbegin(); node != nodes_.rend();
       ++node) {  // what is in a folder before the folder
    int flags = node->second.kind == Kind::kFolder ? AT_REMOVEDIR : 0;
    (void)::unlinkat(root_.get(), node->first.c_str(), flags);
  }
  (void)::rmdir(target_.c_str());
}

sys::Fd TreeWriter::open_below(const std::string& path, uint64_t flags, uint64_t mode) const {
  struct open_how how = {};
  how.flags = flags | O_CLOEXEC | O_NOFOLLOW;
  how.mode = mode;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
  long fd = ::syscall(SYS_openat2, root_.get(), path.c_str(), &how, sizeof how);
  return sys::Fd(static_cast<int>(sys::check(fd, "open", target_ + "/" + path)));
}

sys::Fd TreeWriter::open_parent(const std::string& path) const {
  size_t slash = path.rfind('/');
  return open_below(slash == std::string::npos ? "." : path.substr(0, slash),
                    O_RDONLY | O_DIRECTORY, 0);
}

void TreeWriter::make_folder(const std::string& path) {
  sys::Fd parent = open_parent(path);
  std::string name = name_in(path);
  sys::check(::mkdirat(parent.get(), name.c_str(), 0700), "mkdir", target_ + "/" + path);
  sys::Fd folder = open_below(path, O_RDONLY | O_DIRECTORY, 0);
  sys::check(::fchmod(folder.get(), 0755), "chmod", target_ + "/" + path);
}

std::optional<BundleError> TreeWriter::add(const std::string& path, Node node) {
  if (nodes_.size() >= bounds_.entries_max) {
    return BundleError{fmt::format("the archive has more than {} entries", bounds_.entries_max),
                       fmt::format("entries<={}", bounds_.entries_max),
                       std::to_string(nodes_.size() + 1)};
  }
  nodes_.emplace(path, std::move(node));
  return std::nullopt;
}

std::optional<BundleError> TreeWriter::add_folders_above(const std::string& path) {
  for (size_t slash = path.find('/'); slash != std::string::npos;
       slash = path.find('/', slash + 1)) {
    std::string folder = path.substr(0, slash);
    auto found = nodes_.find(folder);
    if (found == nodes_.end()) {
      if (auto error = add(folder, {})) return error;
      make_folder(folder);
    } else if (found->second.kind != Kind::kFolder) {
      return refuse(path, fmt::format("'{}' is no folder", settings::shown(folder)));
    }
  }
  return std::nullopt;
}

std::optional<BundleError> TreeWriter::add_folder(const std::string& path) {
  if (auto error = add_folders_above(path)) return error;
  auto found = nodes_.find(path);
  if (found != nodes_.end()) {
    // A folder may be named after what is in it, and again in a tar that was appended to.
    if (found->second.kind == Kind::kFolder) return std::nullopt;
    return refuse(path, "it is there twice");
  }
  if (auto error = add(path, {})) return error;
  make_folder(path);
  return std::nullopt;
}

std::optional<BundleError> TreeWriter::add_link(const std::string& path, const std::string& says) {
  if (auto error = add_folders_above(path)) return error;
  if (nodes_.contains(path)) return refuse(path, "it is there twice");
  Node node;
  node.kind = Kind::kLink;
  node.says = says;
  return add(path, std::move(node));
}

std::optional<BundleError> TreeWriter::open_file(const std::string& path, bool executable) {
  if (auto error = add_folders_above(path)) return error;
  if (nodes_.contains(path)) return refuse(path, "it is there twice");
  Node node;
  node.kind = Kind::kFile;
  node.executable = executable;
  if (auto error = add(path, std::move(node))) return error;
  file_path_ = path;
  file_ = open_below(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
  return std::nullopt;
}

void TreeWriter::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    ssize_t wrote = ::write(file_.get(), bytes.data(), bytes.size());
    if (wrote < 0 && errno == EINTR) continue;
    sys::check(wrote, "write", target_ + "/" + file_path_);
    bytes = bytes.subspan(static_cast<size_t>(wrote));
  }
}

void TreeWriter::close_file(const Digest& content) {
  Node& node = nodes_.at(file_path_);
  node.content = content;
  sys::check(::fchmod(file_.get(), node.executable ? 0755 : 0644), "chmod",
             target_ + "/" + file_path_);
  file_.reset();
}

void TreeWriter::sync() {
  if (nodes_.size() > kSyncEachMax) {
    sys::check(::syncfs(root_.get()), "sync the filesystem of", target_);
    return;
  }
  for (const auto& [path, node] : nodes_) {
    if (node.kind == Kind::kLink) continue;  // on disk with its folder
    sys::Fd fd = open_below(path, O_RDONLY, 0);
    sys::check(::fsync(fd.get()), "sync", target_ + "/" + path);
  }
  sys::check(::fsync(root_.get()), "sync", target_);
}

void TreeWriter::keep() {
  for (const auto& [path, node] : nodes_) {
    if (node.kind != Kind::kLink) continue;
    sys::Fd parent = open_parent(path);
    sys::check(::symlinkat(node.says.c_str(), parent.get(), name_in(path).c_str()), "link",
               target_ + "/" + path);
  }
  sync();
  kept_ = true;
}

std::string TreeWriter::hash() const {
  // Each part has a length or a fixed size, so no two trees give the same bytes.
  Sha256 sha;
  auto add_text = [&sha](std::string_view text) {
    sha.add_number(text.size());
    sha.add(text);
  };
  for (const auto& [path, node] : nodes_) {
    add_text(path);
    char head[2] = {static_cast<char>(node.kind), node.executable ? 'x' : '-'};
    sha.add(std::string_view(head, 2));
    if (node.kind == Kind::kFile) sha.add(std::as_bytes(std::span(node.content)));
    if (node.kind == Kind::kLink) add_text(node.says);
  }
  return hex(sha.finish());
}

}  // namespace hearth::registry
