// SPDX-License-Identifier: Apache-2.0
#include "daemon/start_up.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <charconv>
#include <filesystem>
#include <functional>

#include "sandbox/cgroup.h"
#include "sandbox/sys/error.h"

namespace hearth::daemon {
namespace {

void make_folder(const std::string& path, mode_t mode, uid_t uid, gid_t gid) {
  size_t slash = path.rfind('/');
  struct stat status = {};
  if (slash != 0 && slash != std::string::npos &&
      ::stat(path.substr(0, slash).c_str(), &status) != 0) {
    make_folder(path.substr(0, slash), 0755, 0, 0);
  }
  if (::mkdir(path.c_str(), mode) != 0 && errno != EEXIST) throw sys::Error("mkdir", path, errno);
  sys::check(::chown(path.c_str(), uid, gid), "chown", path);
  sys::check(::chmod(path.c_str(), mode), "chmod", path);
}

// Several instances share a host: each has its own cgroup, named after its state folder.
std::string instance_name(const Config& config) {
  return fmt::format("{:016x}", std::hash<std::string>()(config.state_dir));
}

}  // namespace

Identity find_identity(const Config& config) {
  const passwd* user = ::getpwnam(config.user.c_str());
  if (user == nullptr) {
    throw std::runtime_error(
        fmt::format("user '{0}' does not exist; make it with: useradd --system --home-dir / "
                    "--shell /usr/sbin/nologin {0}",
                    config.user));
  }
  if (user->pw_uid == 0)
    throw std::runtime_error("user must not be root: hearthd gives its privileges up");
  Identity identity{user->pw_uid, user->pw_gid, user->pw_gid};
  if (!config.admin_group.empty()) {
    const group* admins = ::getgrnam(config.admin_group.c_str());
    if (admins == nullptr)
      throw std::runtime_error(fmt::format("admin_group '{}' does not exist", config.admin_group));
    identity.admin_gid = admins->gr_gid;
  }
  return identity;
}

sys::Fd prepare_folders(const Config& config, const Identity& identity) {
  make_folder(config.state_dir, 0711, identity.uid, identity.gid);
  make_folder(config.runtime_dir, 0755, identity.uid, identity.admin_gid);
  for (const char* name : {"bundles", "logs", "trash", "uploads"}) {
    make_folder(fmt::format("{}/{}", config.state_dir, name), 0700, identity.uid, identity.gid);
  }
  make_folder(config.state_dir + "/images", 0755, 0, 0);  // images are root's
  std::string path = config.state_dir + "/lock";
  sys::Fd lock(sys::check(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600), "open", path));
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    throw std::runtime_error(
        fmt::format("another hearthd uses the state folder {}", config.state_dir));
  }
  return lock;
}

std::string prepare_cgroups(const Config& config) {
  return sandbox::cgroup::prepare_base(config.limits, instance_name(config));
}

sandbox::Disks find_disks(const Options& options, const std::string& cgroup_base) {
  const Config& config = options.config;
  if (config.limits == sandbox::LimitsMode::kBestEffort) return {"", "best effort limits no reads"};
  std::vector<std::string> folders;
  for (const std::string& path : {config.state_dir + "/images", config.state_dir + "/bundles",
                                  options.libexec_dir, std::string("/usr")}) {
    if (path == "/usr" && !config.host_image) continue;
    folders.push_back(std::filesystem::weakly_canonical(path));
  }
  sandbox::Disks disks = sandbox::find_disks_to_limit(folders, cgroup_base);
  if (disks.obstacle.empty()) return disks;
  const registry::ManifestBounds& bounds = config.sandbox.manifest;
  if (bounds.io_mb_per_s_max != 0 || bounds.io_reads_per_s_max != 0) {
    throw std::runtime_error(
        fmt::format("reads cannot be limited here: {}; set neither io_mb_per_s_max nor "
                    "io_reads_per_s_max, or accept weaker limits with --limits=best-effort",
                    disks.obstacle));
  }
  return disks;
}

std::unique_ptr<sandbox::SpawnerClient> start_spawner(const Options& options,
                                                      const std::string& cgroup_base,
                                                      const sandbox::Disks& disks) {
  const Config& config = options.config;
  sandbox::SpawnerPolicy policy;
  policy.state_dir = config.state_dir;
  policy.init_path = options.libexec_dir + "/hearth-init";
  policy.runtimes_dir = options.libexec_dir + "/runtimes";
  policy.cgroup_base = cgroup_base;
  policy.mode = config.limits;
  policy.host_image = config.host_image;
  policy.subid_base = config.sandbox.subid_base;
  policy.subid_blocks = config.sandbox.subid_blocks;
  policy.limits_max = limits_max_of(config);
  if (disks.obstacle.empty()) policy.io_devices = disks.devices;
  return std::make_unique<sandbox::SpawnerClient>(options.libexec_dir + "/hearth-spawner", policy);
}

void drop_privileges(const Identity& identity) {
  rlimit files = {};
  sys::check(::getrlimit(RLIMIT_NOFILE, &files), "getrlimit", "RLIMIT_NOFILE");
  files.rlim_cur = files.rlim_max;
  sys::check(::setrlimit(RLIMIT_NOFILE, &files), "setrlimit", "RLIMIT_NOFILE");

  sys::check(::setgroups(0, nullptr), "setgroups");
  sys::check(::setresgid(identity.gid, identity.gid, identity.gid), "setresgid");
  for (int capability = 0; ::prctl(PR_CAPBSET_READ, capability) >= 0; ++capability) {
    sys::check(::prctl(PR_CAPBSET_DROP, capability), "prctl", "PR_CAPBSET_DROP");
  }
  sys::check(::setresuid(identity.uid, identity.uid, identity.uid), "setresuid");
  // setresuid cleared the effective and permitted sets; the inheritable set is cleared here.
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct none[2] = {};
  sys::check(::syscall(SYS_capset, &header, none), "capset");
  sys::check(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl", "PR_SET_NO_NEW_PRIVS");
  // From here on no privilege can be regained.
  // Registry, ledger and logs are nobody else's to read; bundles set their modes themselves.
  ::umask(077);
}

}  // namespace hearth::daemon
