// SPDX-License-Identifier: Apache-2.0
#include "sandbox/spawner/groups.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include <memory>
#include <sstream>

#include "sandbox/cgroup.h"
#include "sandbox/sys/error.h"

namespace hearth::sandbox::spawner {
namespace {

constexpr const char* kTenants = "tenants";
// A cgroup is kernel memory: a client that asks for ever new names must not get them without end.
constexpr size_t kParentsMax = 32768;
// A killed process needs a moment until its cgroup counts as empty.
constexpr int kPurgeTriesMax = 2000;
constexpr timespec kPurgeStep = {0, 1'000'000};
constexpr int kDepthMax = 16;
// As long as an orphaned spawner gives its sandboxes to die, and more.
constexpr int kLockTriesMax = 2000;
constexpr timespec kLockStep = {0, 10'000'000};

std::string parent_of(const std::string& tenant, const std::string& function) {
  if (function.empty()) return fmt::format("{}/{}/generic", kTenants, tenant);
  return fmt::format("{}/{}/functions/{}", kTenants, tenant, function);
}

sys::Fd open_group(int base, const std::string& path) {
  int fd = ::openat(base, path.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  return sys::Fd(sys::check(fd, "open cgroup", path));
}

// One spawner at a time: that of a hearthd which was killed may still have requests to read, and
// kills its sandboxes by names that the next one gives again.
sys::Fd open_base(const std::string& base) {
  if (::mkdir(base.c_str(), 0755) < 0 && errno != EEXIST) sys::check(-1, "mkdir", base);
  int fd = ::open(base.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  sys::Fd directory(sys::check(fd, "open cgroup", base));
  for (int tries = 0; ::flock(fd, LOCK_EX | LOCK_NB) < 0; ++tries) {
    if (errno != EWOULDBLOCK && errno != EINTR) sys::check(-1, "flock", base);
    if (tries == kLockTriesMax)
      throw sys::Error("flock", base + " (another hearth-spawner uses it)", EBUSY);
    ::nanosleep(&kLockStep, nullptr);
  }
  return directory;
}

// The bandwidth as cpu.max wants it. Short periods keep a throttled call's pauses short; the kernel
// takes no quota below a millisecond.
std::string cpu_max(uint32_t percent) {
  uint64_t period_us = percent >= 5 ? 20'000 : 100'000;
  return fmt::format("{} {}", percent * period_us / 100, period_us);
}

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> parts;
  std::istringstream in(list);
  for (std::string part; std::getline(in, part, ',');) parts.push_back(part);
  return parts;
}

// One disk's reads as io.max wants them.
std::string io_max(const std::string& device, const Limits& limits) {
  auto or_max = [](uint64_t limit) { return limit == 0 ? "max" : std::to_string(limit); };
  return fmt::format("{} rbps={} riops={}", device, or_max(limits.io_bytes_per_s),
                     or_max(limits.io_reads_per_s));
}

// A name below a directory that is being read, depth first.
struct Walk {
  int base;
  const std::set<std::string>& keep;
  std::vector<std::string> doomed;  // children before their parents

  void visit(const std::string& path, int depth) {
    if (depth > kDepthMax) throw sys::Error("purge cgroup", path, ELOOP);
    int fd = ::openat(base, path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    sys::check(fd, "open cgroup", path);
    std::unique_ptr<DIR, int (*)(DIR*)> directory(::fdopendir(fd), ::closedir);
    while (dirent* entry = ::readdir(directory.get())) {
      if (entry->d_type != DT_DIR || entry->d_name[0] == '.') continue;
      std::string child = fmt::format("{}/{}", path, entry->d_name);
      visit(child, depth + 1);
      if (!keep.contains(child)) doomed.push_back(child);
    }
  }
};

}  // namespace

Groups::Groups(const std::string& base, LimitsMode mode, const std::string& io_devices)
    : mode_(mode), io_devices_(split(io_devices)), base_(open_base(base)) {
  if (mode_ == LimitsMode::kStrict) cgroup::enable_controllers(base_.get(), mode_, base);
  make_parent(kTenants);
}

void Groups::make_parent(const std::string& path) {
  if (parents_.contains(path)) return;
  if (parents_.size() >= kParentsMax) throw sys::Error("mkdir cgroup", path, ENOSPC);
  if (::mkdirat(base_.get(), path.c_str(), 0755) < 0 && errno != EEXIST) {
    sys::check(-1, "mkdir cgroup", path);
  }
  cgroup::enable_controllers(open_group(base_.get(), path).get(), mode_, path);
  parents_.insert(path);
}

void Groups::make_parents(const std::string& tenant, const std::string& function) {
  std::string path = fmt::format("{}/{}", kTenants, tenant);
  make_parent(path);
  if (!function.empty()) make_parent(path + "/functions");
  make_parent(parent_of(tenant, function));
}

Groups::Leaf Groups::create(const std::string& tenant, const std::string& function, uint64_t id,
                            const Limits& limits) {
  make_parents(tenant, function);
  Leaf leaf;
  leaf.path = fmt::format("{}/s-{}", parent_of(tenant, function), id);
  // One that exists holds counters of an earlier run, which are not this sandbox': refused.
  sys::check(::mkdirat(base_.get(), leaf.path.c_str(), 0755), "mkdir cgroup", leaf.path);
  try {
    leaf.directory = open_group(base_.get(), leaf.path);
    set_limits_at(leaf.directory.get(), leaf.path, limits);
  } catch (...) {
    (void)remove(leaf.path);
    throw;
  }
  return leaf;
}

void Groups::set_limits(const std::string& leaf, const Limits& limits) {
  set_limits_at(open_group(base_.get(), leaf).get(), leaf, limits);
}

void Groups::set_limits_at(int directory, const std::string& path, const Limits& limits) const {
  auto set = [&](const char* file, const std::string& value) {
    try {
      cgroup::write_file(directory, file, value, path);
    } catch (const sys::Error& error) {
      if (mode_ == LimitsMode::kStrict || error.code() != ENOENT) throw;
    }
  };
  set("memory.max", std::to_string(limits.memory_bytes));
  set("memory.swap.max", "0");
  set("memory.oom.group", "1");
  set("pids.max", std::to_string(uint64_t{limits.processes_max} + 1));  // and hearth-init
  set("cpu.max", cpu_max(limits.cpu_percent));
  // Nothing to write is the usual case. Nor is a limit ever taken back: a function's own is not
  // above the one that its generic sandbox began with.
  if (limits.io_bytes_per_s != 0 || limits.io_reads_per_s != 0)
    limit_reads(directory, path, limits);
}

void Groups::limit_reads(int directory, const std::string& path, const Limits& limits) const {
  bool strict = mode_ == LimitsMode::kStrict;
  if (io_devices_.empty() && strict) throw sys::Error("limit reads", path + "/io.max", ENOTSUP);
  for (const std::string& device : io_devices_) {
    try {
      cgroup::write_file(directory, "io.max", io_max(device, limits), path);
    } catch (const sys::Error& error) {
      if (strict || error.code() != ENOENT) throw;
    }
  }
}

void Groups::open_files(const Leaf& leaf, Descriptors& out) const {
  auto open = [&](sys::Fd& fd, const char* name, int flags, bool needed) {
    fd.reset(::openat(leaf.directory.get(), name, flags | O_CLOEXEC));
    if (!fd && needed) sys::check(-1, "open cgroup file", fmt::format("{}/{}", leaf.path, name));
  };
  bool strict = mode_ == LimitsMode::kStrict;
  open(out.cgroup_kill, "cgroup.kill", O_WRONLY, true);
  open(out.cgroup_events, "cgroup.events", O_RDONLY, true);
  open(out.cgroup_procs, "cgroup.procs", O_RDONLY, true);
  open(out.cpu_stat, "cpu.stat", O_RDONLY, true);
  // Linux 6.12 lets each descriptor reset its own peak by a write, and shows so in the file's mode.
  open(out.memory_peak, "memory.peak", O_RDWR, false);
  if (!out.memory_peak) open(out.memory_peak, "memory.peak", O_RDONLY, strict);
  open(out.memory_events, "memory.events", O_RDONLY, strict);
  open(out.memory_current, "memory.current", O_RDONLY, strict);
  open(out.pids_events, "pids.events", O_RDONLY, strict);
}

std::string Groups::processes(const std::string& leaf) const {
  return cgroup::read_file(open_group(base_.get(), leaf).get(), "cgroup.procs", leaf);
}

void Groups::kill(const std::string& leaf) const {
  sys::Fd directory = open_group(base_.get(), leaf);
  cgroup::write_file(directory.get(), "cgroup.kill", "1", leaf);
  for (const std::string& device : io_devices_) {
    try {
      cgroup::write_file(directory.get(), "io.max", io_max(device, {}), leaf);
    } catch (const sys::Error&) {
      // No such controller, or the leaf went meanwhile: nothing waits.
    }
  }
}

bool Groups::remove(const std::string& leaf) {
  if (::unlinkat(base_.get(), leaf.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return true;
  if (errno == EBUSY) return false;
  sys::check(-1, "rmdir cgroup", leaf);
  return false;
}

void Groups::remove_if_exists(const std::string& path) const {
  if (::unlinkat(base_.get(), path.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return;
  sys::check(-1, "rmdir cgroup", path);
}

void Groups::prune(const std::string& tenant, const std::string& function) {
  std::string tenant_path = fmt::format("{}/{}", kTenants, tenant);
  parents_.clear();  // learnt again by the next create
  if (!function.empty()) return remove_if_exists(parent_of(tenant, function));
  remove_if_exists(tenant_path + "/generic");
  remove_if_exists(tenant_path + "/functions");
  remove_if_exists(tenant_path);
}

void Groups::purge(const std::set<std::string>& leaves) {
  std::set<std::string> keep;
  for (const std::string& leaf : leaves) {
    for (size_t end = leaf.size(); end != std::string::npos; end = leaf.rfind('/', end - 1)) {
      keep.insert(leaf.substr(0, end));
    }
  }
  Walk walk{base_.get(), keep, {}};
  walk.visit(kTenants, 0);
  parents_.clear();
  for (const std::string& path : walk.doomed) kill(path);
  int tries = 0;
  for (const std::string& path : walk.doomed) {
    while (!remove(path)) {
      if (++tries > kPurgeTriesMax) throw sys::Error("rmdir cgroup", path, EBUSY);
      ::nanosleep(&kPurgeStep, nullptr);
    }
  }
}

}  // namespace hearth::sandbox::spawner
