// SPDX-License-Identifier: Apache-2.0
#include "sandbox/cgroup.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <algorithm>
#include <iterator>
#include <sstream>

#include "sandbox/sys/error.h"

namespace hearth::sandbox::cgroup {
namespace {

constexpr const char* kSupervisor = "supervisor";
constexpr int kMoveRoundsMax = 16;

std::string join(std::string_view path, std::string_view name) {
  return path.empty() ? std::string(name) : fmt::format("{}/{}", path, name);
}

sys::Fd open_directory(const std::string& path) {
  int fd = ::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  return sys::Fd(sys::check(fd, "open cgroup", path));
}

std::vector<std::string> words(const std::string& text) {
  std::istringstream in(text);
  return {std::istream_iterator<std::string>(in), {}};
}

// Makes one cgroup, or takes the one that is there. The mode is set apart from the process' umask.
void make(const std::string& path) {
  if (::mkdir(path.c_str(), 0755) < 0 && errno != EEXIST) sys::check(-1, "mkdir", path);
  sys::check(::chmod(path.c_str(), 0755), "chmod", path);
}

// Moves every process of `own` to `leaf`. New ones may be forked meanwhile, hence the rounds.
void move_processes(const std::string& own, const std::string& leaf) {
  sys::Fd from = open_directory(own), to = open_directory(leaf);
  for (int round = 0; round < kMoveRoundsMax; ++round) {
    std::istringstream pids(read_file(from.get(), "cgroup.procs", own));
    bool any = false;
    for (std::string pid; pids >> pid; any = true) {
      try {
        write_file(to.get(), "cgroup.procs", pid, leaf);
      } catch (const sys::Error& error) {
        if (error.code() != ESRCH) throw;  // it ended meanwhile
      }
    }
    if (!any) return;
  }
  throw sys::Error("move processes out of", own, EBUSY);
}

// Those of `found` that we use, for cgroup.subtree_control. Strict: all needed ones, or an error.
std::string choose(const std::vector<std::string>& found, LimitsMode mode,
                   const std::string& path) {
  std::string enable, missing;
  auto want = [&](std::string_view name, bool needed) {
    if (std::find(found.begin(), found.end(), name) != found.end()) {
      enable += fmt::format("{}+{}", enable.empty() ? "" : " ", name);
    } else if (needed) {
      missing += fmt::format("{}{}", missing.empty() ? "" : ", ", name);
    }
  };
  for (std::string_view name : kNeeded) want(name, true);
  want("io", false);
  if (mode == LimitsMode::kStrict && !missing.empty()) {
    throw sys::Error(fmt::format("no cgroup controller {} in", missing), path, ENOTSUP);
  }
  return enable;
}

bool has_attribute(const std::string& path, const char* name) {
  return ::getxattr(path.c_str(), name, nullptr, 0) > 0;
}

// The cgroup that was delegated to us, cleared of processes.
std::string delegated(const std::string& mount) {
  std::string own = own_path();
  std::string path = own == "/" ? mount : mount + own;
  std::string tail = std::string("/") + kSupervisor;
  // A second instance in the same unit, or systemd's DelegateSubgroup=.
  bool cleared = path.size() > tail.size() && path.ends_with(tail);
  if (cleared) path.resize(path.size() - tail.size());
  // Before anything is moved, so that a refused start changed nothing.
  if (is_withheld(path)) {
    throw sys::Error("systemd did not delegate (Delegate=yes in a unit) the cgroup", path, EPERM);
  }
  if (cleared) return path;
  (void)choose(controllers(path), LimitsMode::kStrict, path);
  if (own == "/") return path;  // the root may hold processes, and those are not ours to move
  make(path + tail);
  move_processes(path, path + tail);
  return path;
}

}  // namespace

std::string read_file(int directory, const std::string& name, std::string_view path) {
  sys::Fd file(sys::check(::openat(directory, name.c_str(), O_RDONLY | O_CLOEXEC), "open",
                          join(path, name)));
  std::string text;
  char part[4096];
  ssize_t got;
  while ((got = ::read(file.get(), part, sizeof part)) > 0) text.append(part, size_t(got));
  sys::check(got, "read", join(path, name));
  return text;
}

void write_file(int directory, const char* name, std::string_view value, std::string_view path) {
  int fd = ::openat(directory, name, O_WRONLY | O_CLOEXEC);
  if (fd < 0) sys::check(fd, "open", join(path, name));
  sys::Fd file(fd);
  if (::write(fd, value.data(), value.size()) < 0) sys::check(-1, "write", join(path, name));
}

std::string unescape(std::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      plain += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                                 (text[i + 3] - '0'));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

std::string find_mount() {
  std::istringstream lines(read_file(AT_FDCWD, "/proc/self/mountinfo"));
  for (std::string line; std::getline(lines, line);) {
    // ID PARENT DEV ROOT TARGET OPTIONS [TAGS…] - TYPE SOURCE OPTIONS
    size_t dash = line.find(" - cgroup2 ");
    if (dash == std::string::npos) continue;
    std::istringstream fields(line);
    std::string field;
    for (int i = 0; i < 5; ++i) fields >> field;
    return unescape(field);
  }
  throw sys::Error("find the cgroup v2 mount in", "/proc/self/mountinfo", ENODEV);
}

std::string own_path() {
  std::istringstream lines(read_file(AT_FDCWD, "/proc/self/cgroup"));
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("0::")) return line.substr(3);
  }
  throw sys::Error("find the cgroup v2 line in", "/proc/self/cgroup", ENODEV);
}

std::vector<std::string> controllers(const std::string& path) {
  return words(read_file(AT_FDCWD, path + "/cgroup.controllers"));
}

bool has_controller(const std::string& path, std::string_view name) {
  std::vector<std::string> found = controllers(path);
  return std::find(found.begin(), found.end(), name) != found.end();
}

bool is_withheld(const std::string& path) {
  // The names that systemd gives, as its own and, since 251, for everybody.
  bool kept =
      has_attribute(path, "trusted.invocation_id") || has_attribute(path, "user.invocation_id");
  return kept && !has_attribute(path, "trusted.delegate") && !has_attribute(path, "user.delegate");
}

void enable_controllers(int directory, LimitsMode mode, const std::string& path) {
  std::string text = read_file(directory, "cgroup.controllers", path);
  std::string enable = choose(words(text), mode, path);
  if (enable.empty()) return;
  try {
    write_file(directory, "cgroup.subtree_control", enable, path);
  } catch (const sys::Error&) {
    if (mode == LimitsMode::kStrict) throw;  // best effort: the leaf has what it has
  }
}

std::string prepare_base(LimitsMode mode, const std::string& instance_name) {
  std::string parent = find_mount();
  if (mode == LimitsMode::kStrict) {
    parent = delegated(parent);
    enable_controllers(open_directory(parent).get(), mode, parent);
  }
  std::string base = fmt::format("{}/hearth-{}", parent, instance_name);
  make(base);
  return base;
}

}  // namespace hearth::sandbox::cgroup
