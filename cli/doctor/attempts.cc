// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <functional>

#include "cli/doctor/doctor.h"
#include "sandbox/sys/fd.h"

namespace hearth::cli::doctor {
namespace {

constexpr uint64_t kAllNamespaces = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET |
                                    CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;

// A fork with more to say. Returns the child's pid, 0 in the child, or -1 with errno.
pid_t clone3(uint64_t flags, int cgroup = -1) {
  clone_args args{};
  args.flags = flags;
  args.exit_signal = SIGCHLD;
  if (cgroup >= 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<uint64_t>(cgroup);
  }
  return static_cast<pid_t>(::syscall(SYS_clone3, &args, sizeof args));
}

// What a child says by its exit status: 0, or the errno of what it tried.
int wait_errno(pid_t child) {
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
}

// Runs `attempt` in a child, so that nothing of it stays.
int in_child(const std::function<int()>& attempt) {
  pid_t child = ::fork();
  if (child < 0) return errno;
  if (child == 0) ::_exit(attempt());
  return wait_errno(child);
}

Finding namespaces() {
  pid_t child = clone3(kAllNamespaces);
  if (child == 0) ::_exit(0);
  int code = child < 0 ? errno : wait_errno(child);
  if (code == 0) return ok("clone3 with all namespaces", "works");
  bool root = ::geteuid() == 0;
  return {
      "clone3 with all namespaces", root ? Level::kFail : Level::kWarn, std::strerror(code),
      "each sandbox is made by one clone3 with seven new namespaces",
      code == EPERM && !root
          ? "run this as root to know: sudo hearth doctor"
          : "allow namespaces: sysctl -w user.max_user_namespaces=15000; in a container, run it "
            "with the right to make them"};
}

int write_to(int folder, const char* name, std::string_view text) {
  sys::Fd fd(::openat(folder, name, O_WRONLY | O_CLOEXEC));
  if (!fd || ::write(fd.get(), text.data(), text.size()) < 0) return errno;
  return 0;
}

// A process is born in a cgroup and the cgroup kills it: what a deadline does.
Finding cgroup_life(const Host& host) {
  const std::string check = "birth and death by cgroup";
  std::string mount = cgroup_mount(host);
  if (mount.empty())
    return {check, Level::kFail, "no cgroup v2 is mounted", "see above", "see above"};
  if (::geteuid() != 0) {
    return {check, Level::kWarn, "not tried", "only root can make a cgroup here",
            "sudo hearth doctor"};
  }
  std::string path = fmt::format("{}/hearth-doctor-{}", mount, ::getpid());
  const std::string why =
      "a sandbox is born in its cgroup (CLONE_INTO_CGROUP) and ends by cgroup.kill";
  const std::string fix =
      "run Linux 5.14 or later; in a container, give it a writable cgroup (Delegate=yes)";
  if (::mkdir(path.c_str(), 0755) != 0)
    return {check, Level::kFail, fmt::format("mkdir: {}", std::strerror(errno)), why, fix};
  std::string trouble;
  {
    sys::Fd folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    pid_t child = clone3(0, folder.get());
    if (child == 0) {
      ::alarm(5);
      ::pause();
      ::_exit(0);
    }
    if (child < 0) {
      trouble = fmt::format("CLONE_INTO_CGROUP: {}", std::strerror(errno));
    } else {
      int code = write_to(folder.get(), "cgroup.kill", "1");
      if (code != 0) ::kill(child, SIGKILL);
      (void)wait_errno(child);
      if (code != 0) trouble = fmt::format("cgroup.kill: {}", std::strerror(code));
    }
  }
  ::rmdir(path.c_str());
  return trouble.empty() ? ok(check, "works") : Finding{check, Level::kFail, trouble, why, fix};
}

int try_filter() {
  std::array<sock_filter, 1> instructions{sock_filter{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}};
  sock_fprog program{static_cast<unsigned short>(instructions.size()), instructions.data()};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return errno;
  return ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0 ? 0 : errno;
}

Finding seccomp() {
  int code = in_child(try_filter);
  if (code == 0) return ok("seccomp filters", "work");
  return {"seccomp filters", Level::kFail, std::strerror(code),
          "user code runs under an allowlist of system calls",
          "run a kernel with CONFIG_SECCOMP_FILTER (Debian's has it)"};
}

int try_mounts() {
  if (::unshare(CLONE_NEWNS) != 0) return errno;
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return errno;
  sys::Fd tree(::open_tree(AT_FDCWD, "/usr", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE));
  if (!tree) return errno;
  struct mount_attr attributes {};
  attributes.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
  if (::mount_setattr(tree.get(), "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes,
                      sizeof attributes) != 0)
    return errno;
  sys::Fd context(::fsopen("tmpfs", FSOPEN_CLOEXEC));
  return context ? 0 : errno;
}

Finding mounts() {
  if (::geteuid() != 0)
    return {"mounts by descriptor", Level::kWarn, "not tried", "only root can mount",
            "sudo hearth doctor"};
  int code = in_child(try_mounts);
  if (code == 0) return ok("mounts by descriptor", "open_tree, mount_setattr and fsopen work");
  return {"mounts by descriptor", Level::kFail, std::strerror(code),
          "images and code are mounted read-only by descriptor, in one step",
          "run Linux 5.14 or later; in a container, with the right to mount"};
}

}  // namespace

Findings check_attempts(const Host& host) {
  return {namespaces(), cgroup_life(host), mounts(), seccomp()};
}

}  // namespace hearth::cli::doctor
