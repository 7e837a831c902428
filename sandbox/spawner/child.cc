// SPDX-License-Identifier: Apache-2.0
#include "sandbox/spawner/child.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <string>

#include "sandbox/control.h"
#include "sandbox/spawner/mounts.h"
#include "sandbox/spawner/privileges.h"
#include "sandbox/spawner/stage.h"
#include "sandbox/sys/error.h"

namespace hearth::sandbox::spawner {
namespace {

constexpr unsigned kScratch = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
constexpr uint64_t kInitCapabilities = capability(CAP_SETUID) | capability(CAP_SETGID) |
                                       capability(CAP_KILL) | capability(CAP_DAC_OVERRIDE);

// The spawner writes our id maps meanwhile. End of file: it could not, or is gone.
void wait_for_id_maps(const Plan& plan) {
  ::close(plan.release_write);
  char byte;
  if (::read(plan.release_read, &byte, 1) != 1) _exit(1);
}

// From the host's uid 0, which is not mapped, to the sandbox' own. Until then no file can be made
// on a file system of the new user namespace.
void take_ids(const Plan&) {
  sys::check(::syscall(SYS_setgroups, 0, nullptr), "setgroups");
  sys::check(::syscall(SYS_setresgid, 0, 0, 0), "setresgid");
  sys::check(::syscall(SYS_setresuid, 0, 0, 0), "setresuid");
  sys::check(::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), "prctl", "dumpable");
}

// The stage is private, so nothing that is mounted from here on is seen outside.
void attach_image(const Plan& plan) {
  sys::Fd root = mounts::clone(AT_FDCWD, plan.image, mounts::Depth::kRecursive, plan.image);
  mounts::attach_at(root.get(), kBox);
  sys::check(::fchdir(root.get()), "fchdir", plan.image);
}

// While the host's /proc can still be seen: the kernel gives no fresh one to a namespace without.
void mount_proc(const Plan&) {
  // gid: whom hidepid does not concern. hearth-init may then see whether a zygote has processes.
  // Read-only: `mem` passes over the protection of pages, and what else can be written there is
  // about how the host schedules and spares a process.
  sys::Fd proc =
      mounts::create("proc", {{"subset", "pid"}, {"hidepid", "2"}, {"gid", "0"}},
                     MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
  mounts::attach(proc.get(), AT_FDCWD, "proc");
}

void mount_scratch(const Plan& plan, const char* target) {
  sys::Fd scratch = mounts::create(
      "tmpfs", {{"size", plan.tmp_bytes}, {"nr_inodes", plan.tmp_inodes}, {"mode", "1777"}},
      kScratch);
  mounts::attach(scratch.get(), AT_FDCWD, target);
}

void mount_tmp(const Plan& plan) {
  mount_scratch(plan, "tmp");
}
void mount_shm(const Plan& plan) {
  mount_scratch(plan, "dev/shm");
}

void mount_task(const Plan& plan) {
  if (plan.bundle >= 0) mounts::attach(plan.bundle, AT_FDCWD, "var/task");
}

void change_root(const Plan&) {
  sys::Fd root(sys::check(::open(".", O_PATH | O_DIRECTORY | O_CLOEXEC), "open", "new root"));
  mounts::change_root(root.get());
}

// Only now that the process is in its leaf: that becomes the namespace's root.
void leave_cgroup_namespace(const Plan&) {
  sys::check(::unshare(CLONE_NEWCGROUP), "unshare", "cgroup namespace");
}

void bring_loopback_up(const Plan&) {
  sys::Fd socket(sys::check(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket", "lo"));
  ifreq request{};
  request.ifr_name[0] = 'l', request.ifr_name[1] = 'o';
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  sys::check(::ioctl(socket.get(), SIOCSIFFLAGS, &request), "ioctl", "lo");
}

void set_host_name(const Plan&) {
  sys::check(::sethostname("hearth", 6), "sethostname", "hearth");
  sys::check(::setdomainname("", 0), "setdomainname");
}

void leave_keyring_and_session(const Plan&) {
  sys::check(::syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr), "keyctl");
  sys::check(::setsid(), "setsid");
}

// Before the limit on descriptors, which the spawner's numbers may be beyond.
void place_descriptors(const Plan& plan) {
  int null = sys::check(::open("/dev/null", O_RDWR), "open", "/dev/null");
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    if (fd != null) sys::check(::dup2(null, fd), "dup2", "/dev/null");
  }
  sys::check(::dup2(plan.control, kSocketFd), "dup2", "control");
  // Last: a failure is reported by plan.control until then.
  sys::check(::close_range(kFirstFreeFd, ~0u, 0), "close_range");
}

void limit_resources(const Plan& plan) {
  // Not 0, which keeps the kernel from writing a file but not from starting the program that a
  // piped core_pattern names, as root. With 1 it does neither (core(5) has no word of it;
  // do_coredump() takes it for a crash of that program). The filter keeps it at that.
  set_resource_limit(RLIMIT_CORE, 1);
  set_resource_limit(RLIMIT_NOFILE, plan.limits.open_files_max);
  set_resource_limit(RLIMIT_FSIZE, plan.limits.file_bytes_max);
  set_resource_limit(RLIMIT_NPROC, process_rlimit(plan.limits.processes_max));
  set_resource_limit(RLIMIT_MEMLOCK, 64 << 10);
  set_resource_limit(RLIMIT_MSGQUEUE, 0);
  set_resource_limit(RLIMIT_RTPRIO, 0);
  set_resource_limit(RLIMIT_NICE, 0);
  set_resource_limit(RLIMIT_SIGPENDING, 1024);
  set_resource_limit(RLIMIT_STACK, 8 << 20);
}

// hearth-init keeps four over the exec, by way of the ambient set: they start programs as the user,
// kill what those leave, and empty a /tmp whose folders they closed. None lets it mount.
void drop_capabilities(const Plan&) {
  // Inheritable first: the bounding set, once empty, would forbid it.
  uint64_t setpcap = capability(CAP_SETPCAP);
  set_capabilities(kInitCapabilities | setpcap, kInitCapabilities);
  drop_bounding(0);
  raise_ambient(kInitCapabilities);
  lock_securebits();
  set_capabilities(kInitCapabilities, kInitCapabilities);
  // From here on no capability can be gained.
}

// After the last change of credentials, which would undo it.
void tie_to_spawner(const Plan&) {
  sys::check(::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0), "prctl", "parent death signal");
  // Had it died before that, no signal would ever come.
  pollfd spawner{kSpawnerFd, POLLIN, 0};
  if (sys::check(::poll(&spawner, 1, 0), "poll", "spawner") != 0) _exit(1);
}

void forbid_new_privileges(const Plan&) {
  set_no_new_privileges();
}

void execute_init(const Plan&) {
  sigset_t none;
  sigemptyset(&none);
  sys::check(::sigprocmask(SIG_SETMASK, &none, nullptr), "sigprocmask");
  char name[] = "hearth-init";
  char* const argv[] = {name, nullptr};
  char* const environment[] = {nullptr};
  sys::check(::syscall(SYS_execveat, kInitFd, "", argv, environment, AT_EMPTY_PATH), "execveat",
             "hearth-init");
}

struct Step {
  const char* name;
  void (*run)(const Plan&);
};
constexpr Step kSteps[] = {
    {"wait for the id maps", wait_for_id_maps},
    {"take ids", take_ids},
    {"attach the image", attach_image},
    {"mount /proc", mount_proc},
    {"mount /dev/shm", mount_shm},
    {"mount /tmp", mount_tmp},
    {"mount /var/task", mount_task},
    {"change the root", change_root},
    {"leave the cgroup namespace", leave_cgroup_namespace},
    {"bring lo up", bring_loopback_up},
    {"set the host name", set_host_name},
    {"leave keyring and session", leave_keyring_and_session},
    {"place descriptors", place_descriptors},
    {"limit resources", limit_resources},
    {"drop capabilities", drop_capabilities},
    {"tie to the spawner", tie_to_spawner},
    {"forbid new privileges", forbid_new_privileges},
    {"execute hearth-init", execute_init},
};

constexpr auto kStepNames = [] {
  std::array<const char*, std::size(kSteps)> names{};
  for (size_t i = 0; i < names.size(); ++i) names[i] = kSteps[i].name;
  return names;
}();

void report(int control, const char* step, const sys::Error& error) {
  try {
    Failure failure{std::string(step) + ": " + error.call(), error.object(), error.code()};
    control::send(control, control::Event(control::Failed{failure}));
  } catch (const std::exception&) {
    // hearthd is gone, and so will this process be.
  }
}

}  // namespace

void set_tmp_options(Plan& plan) {
  // A few inodes more than files of one page could fill.
  std::snprintf(plan.tmp_bytes, sizeof plan.tmp_bytes, "%llu",
                static_cast<unsigned long long>(plan.limits.tmp_bytes));
  std::snprintf(plan.tmp_inodes, sizeof plan.tmp_inodes, "%llu",
                static_cast<unsigned long long>(plan.limits.tmp_bytes / 4096 + 64));
}

void set_resource_limit(int resource, uint64_t value) {
  auto which = static_cast<__rlimit_resource>(resource);
  rlimit limit{value, value};
  if (::setrlimit(which, &limit) == 0) return;
  // Above the hard limit that the spawner itself was given: then that one holds.
  rlimit current{};
  sys::check(::getrlimit(which, &current), "getrlimit");
  limit.rlim_cur = limit.rlim_max = std::min<rlim_t>(value, current.rlim_max);
  sys::check(::setrlimit(which, &limit), "setrlimit");
}

std::span<const char* const> child_steps() {
  return kStepNames;
}

void run_child(const Plan& plan) {
  int control = plan.control;
  for (const Step& step : kSteps) {
    try {
      fail_if_armed(*plan.faults, step.name);
      step.run(plan);
      if (step.run == place_descriptors) control = kSocketFd;
    } catch (const sys::Error& error) {
      report(control, step.name, error);
      break;
    }
  }
  _exit(1);
}

}  // namespace hearth::sandbox::spawner
