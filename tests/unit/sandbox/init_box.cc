// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/sandbox/init_box.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "sandbox/sys/error.h"

namespace hearth::sandbox {
namespace {

using sys::check;
constexpr unsigned kFirstHostId = 0x68000000;

void write_file(const std::string& path, const std::string& text) {
  sys::Fd fd(check(::open(path.c_str(), O_WRONLY | O_CLOEXEC), "open", path));
  check(::write(fd.get(), text.data(), text.size()), "write", path);
}

void mount_on(const char* source, const std::string& target, const char* type, unsigned long flags,
              const char* data = nullptr) {
  ::mkdir(target.c_str(), 0755);
  check(::mount(source, target.c_str(), type, flags, data), "mount", target);
}

void copy_fixture(const sys::Fd& fixture, const std::string& target) {
  sys::Fd out(check(::open(target.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0755), "open", target));
  struct stat status;
  check(::fstat(fixture.get(), &status), "fstat");
  for (off_t at = 0; at < status.st_size;)
    check(::sendfile(out.get(), fixture.get(), &at, size_t(status.st_size)), "sendfile", target);
}

// Builds the root on /tmp of the new mount namespace, then moves into it.
void build_root(const Box::Options& options, const sys::Fd& fixture) {
  const std::string root = "/tmp";
  check(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), "make private", "/");
  mount_on("tmpfs", root, "tmpfs", MS_NOSUID, "mode=755");
  mount_on("/usr", root + "/usr", nullptr, MS_BIND | MS_REC);
  for (const char* name : {"bin", "lib", "lib64", "sbin"})
    check(::symlink((std::string("usr/") + name).c_str(), (root + "/" + name).c_str()), "symlink");
  mount_on("proc", root + "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC,
           options.show_processes_to_init ? "subset=pid,hidepid=2,gid=0" : "subset=pid,hidepid=2");
  check(::mkdir((root + "/dev").c_str(), 0755), "mkdir", "/dev");
  for (const char* name : {"/dev/null", "/dev/zero", "/dev/urandom", "/dev/random"}) {
    std::ofstream(root + name);
    check(::mount(name, (root + name).c_str(), nullptr, MS_BIND, nullptr), "bind", name);
  }
  check(::symlink("/proc/self/fd", (root + "/dev/fd").c_str()), "symlink");
  const char* scratch = "size=64m,nr_inodes=30000,mode=1777";
  mount_on("tmpfs", root + "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, scratch);
  mount_on("tmpfs", root + "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, scratch);
  check(::mkdir((root + "/var").c_str(), 0755), "mkdir", "/var");
  check(::mkdir((root + "/var/task").c_str(), 0755), "mkdir", "/var/task");
  check(::mkdir((root + "/etc").c_str(), 0755), "mkdir", "/etc");
  std::ofstream(root + "/etc/hosts") << "127.0.0.1 localhost\n";
  copy_fixture(fixture, root + "/var/task/fixture");
  std::ofstream(root + "/var/task/not-executable") << "x";
  check(::chdir(root.c_str()), "chdir", root);
  check(::syscall(SYS_pivot_root, ".", "."), "pivot_root");
  check(::umount2(".", MNT_DETACH), "umount", "old root");
  check(::chdir("/"), "chdir", "/");
  check(::mount(nullptr, "/", nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID, nullptr),
        "make read-only", "/");
}

void bring_loopback_up() {
  sys::Fd socket(check(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket"));
  ifreq request{};
  std::memcpy(request.ifr_name, "lo", sizeof "lo");
  request.ifr_flags = IFF_UP;
  check(::ioctl(socket.get(), SIOCSIFFLAGS, &request), "ioctl", "lo");
}

void keep_four_capabilities() {
  const int kept[] = {CAP_SETUID, CAP_SETGID, CAP_KILL, CAP_DAC_OVERRIDE};
  uint32_t mask = 0;
  for (int cap : kept) mask |= 1u << cap;
  uint32_t with_setpcap = mask | 1u << CAP_SETPCAP;
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {{with_setpcap, with_setpcap, mask}, {}};
  check(::syscall(SYS_capset, &header, data), "capset");
  // Only now: what is not in the bounding set cannot become inheritable.
  for (int cap = 0; ::prctl(PR_CAPBSET_READ, cap) >= 0; ++cap)
    check(::prctl(PR_CAPBSET_DROP, cap), "drop from bounding set");
  for (int cap : kept) check(::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0), "ambient");
  check(::prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
                                       SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
                                       SECBIT_NO_CAP_AMBIENT_RAISE |
                                       SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED),
        "securebits");
  data[0] = {mask, mask, mask};
  check(::syscall(SYS_capset, &header, data), "capset");
  check(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
}

[[noreturn]] void become_init(const Box::Options& options, int control, int init, int fixture_fd) {
  try {
    sys::Fd fixture(fixture_fd);
    check(::setgroups(0, nullptr), "setgroups");
    check(::setresgid(0, 0, 0), "setresgid");
    check(::setresuid(0, 0, 0), "setresuid");
    check(::setsid(), "setsid");
    build_root(options, fixture);
    bring_loopback_up();
    rlimit processes{options.processes_max, options.processes_max};
    check(::setrlimit(RLIMIT_NPROC, &processes), "setrlimit");
    keep_four_capabilities();
    sys::Fd null(check(::open("/dev/null", O_RDWR), "open", "/dev/null"));
    init = check(::fcntl(init, F_DUPFD_CLOEXEC, 100), "dup");
    control = check(::fcntl(control, F_DUPFD_CLOEXEC, 100), "dup");
    for (int fd : {0, 1, 2}) check(::dup2(null.get(), fd), "dup2");
    check(::dup2(control, 3), "dup2");
    char* argv[] = {const_cast<char*>("hearth-init"), nullptr};
    char* env[] = {nullptr};
    check(::syscall(SYS_execveat, init, "", argv, env, AT_EMPTY_PATH), "exec", "hearth-init");
  } catch (const std::exception& error) {
    std::fprintf(stderr, "box: %s\n", error.what());
  }
  ::_exit(1);
}

}  // namespace

Box::Box() : Box(Options{}) {}

Box::Box(Options options) {
  sys::Fd init(check(::open(HEARTH_INIT, O_RDONLY | O_CLOEXEC), "open", HEARTH_INIT));
  sys::Fd fixture(check(::open(INIT_FIXTURE, O_RDONLY | O_CLOEXEC), "open", INIT_FIXTURE));
  int ends[2], go[2];
  check(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), "socketpair");
  check(::pipe2(go, O_CLOEXEC), "pipe2");
  control_.reset(ends[0]);
  sys::Fd theirs(ends[1]), go_read(go[0]), go_write(go[1]);
  int pidfd = -1;
  constexpr int kFlags = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWNET |
                         CLONE_NEWUTS | CLONE_PIDFD | SIGCHLD;
  pid_ = int(check(::syscall(SYS_clone, kFlags, nullptr, &pidfd, nullptr, 0), "clone"));
  if (pid_ == 0) {
    char byte;
    if (::read(go_read.get(), &byte, 1) != 1) ::_exit(1);
    become_init(options, theirs.get(), init.get(), fixture.release());
  }
  pidfd_.reset(pidfd);
  std::string map = "0 " + std::to_string(kFirstHostId) + " 65536";
  write_file("/proc/" + std::to_string(pid_) + "/uid_map", map);
  write_file("/proc/" + std::to_string(pid_) + "/gid_map", map);
  check(::write(go_write.get(), "x", 1), "write");
  theirs.reset();
  if (!std::holds_alternative<control::Ready>(next())) throw std::runtime_error("not ready");
}

Box::~Box() {
  control_.reset();
  if (pid_ <= 0) return;
  (void)::syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0);  // may be gone
  (void)::waitpid(pid_, nullptr, 0);
}

std::vector<pid_t> Box::processes() const {
  std::vector<pid_t> found;
  std::error_code gone;
  auto ns = std::filesystem::read_symlink("/proc/" + std::to_string(pid_) + "/ns/pid", gone);
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    if (std::filesystem::read_symlink(entry.path() / "ns/pid", gone) == ns && !ns.empty())
      found.push_back(std::stoi(name));
  }
  return found;
}

void Box::send(const control::Request& request) {
  control::send(control_.get(), request);
}

control::Started Box::start(const std::string& mode, control::Role role, control::Stdio stdio) {
  send(control::Start{stdio, role, {"/var/task/fixture", mode}, {"GREETING=hello"}});
  return next_started();
}

}  // namespace hearth::sandbox
