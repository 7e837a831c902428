// SPDX-License-Identifier: Apache-2.0
#include "sandbox/spawner/build.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox/spawner/stage.h"
#include "sandbox/sys/error.h"

namespace hearth::sandbox::spawner {
namespace {

struct Pair {
  sys::Fd ours, theirs;
};

Pair make_control() {
  int ends[2];
  sys::check(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), "socketpair",
             "control");
  return {sys::Fd(ends[0]), sys::Fd(ends[1])};
}

Pair make_release() {
  int ends[2];
  sys::check(::pipe2(ends, O_CLOEXEC), "pipe2");
  return {sys::Fd(ends[1]), sys::Fd(ends[0])};
}

// A copy of this process in namespaces of its own, born in its cgroup. The cgroup namespace is
// missing: it must be left from within the leaf.
Process clone_into(int leaf, const Plan& plan) {
  int pidfd = -1;
  clone_args arguments{};
  arguments.flags = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC |
                    CLONE_NEWUTS | CLONE_PIDFD | CLONE_INTO_CGROUP | CLONE_CLEAR_SIGHAND;
  arguments.pidfd = reinterpret_cast<uintptr_t>(&pidfd);
  arguments.exit_signal = SIGCHLD;
  arguments.cgroup = static_cast<uint64_t>(leaf);
  long pid = ::syscall(SYS_clone3, &arguments, sizeof arguments);
  if (pid == 0) run_child(plan);
  sys::check(pid, "clone3", "sandbox");
  for (const char* step : child_steps()) plan.faults->forget(step);
  return Process(static_cast<pid_t>(pid), sys::Fd(pidfd));
}

void write_map(pid_t pid, const char* name, uint32_t first_id) {
  char path[64], text[64];
  std::snprintf(path, sizeof path, "%s/%d/%s", kProc, pid, name);
  int size = std::snprintf(text, sizeof text, "0 %u %u", first_id, kBlockSize);
  sys::Fd file(sys::check(::open(path, O_WRONLY | O_CLOEXEC), "open", path));
  sys::check(::write(file.get(), text, size_t(size)), "write", path);
}

}  // namespace

Process::~Process() {
  if (!pidfd_) return;
  (void)::syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0);  // ESRCH: dead already
  siginfo_t info;
  while (::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED) < 0 && errno == EINTR) {
  }
}

bool Process::reap_if_dead() {
  if (!pidfd_) return true;
  siginfo_t info{};
  int id = pidfd_.get();
  sys::check(::waitid(P_PIDFD, static_cast<id_t>(id), &info, WEXITED | WNOHANG), "waitid",
             "sandbox");
  if (info.si_pid == 0) return false;
  pidfd_.reset();
  return true;
}

Built build(const Spec& spec, uint32_t first_id, Groups& groups, Images& images, Faults& faults) {
  Plan plan;
  plan.faults = &faults;
  plan.limits = spec.limits;
  set_tmp_options(plan);
  fail_if_armed(faults, "open image");
  plan.image = images.path_of(spec.image);
  fail_if_armed(faults, "open bundle");
  sys::Fd bundle = spec.bundle.empty() ? sys::Fd() : images.bundle(spec.bundle);
  plan.bundle = bundle.get();
  fail_if_armed(faults, "make descriptors");
  Pair control = make_control(), release = make_release();
  plan.control = control.theirs.get();
  plan.release_read = release.theirs.get();
  plan.release_write = release.ours.get();

  fail_if_armed(faults, "make cgroup");
  Groups::Leaf leaf = groups.create(spec.tenant, spec.function, spec.id, spec.limits);
  try {
    fail_if_armed(faults, "clone");
    Process process = clone_into(leaf.directory.get(), plan);
    fail_if_armed(faults, "write uid_map");
    write_map(process.pid(), "uid_map", first_id);
    fail_if_armed(faults, "write gid_map");
    write_map(process.pid(), "gid_map", first_id);
    sys::check(::write(release.ours.get(), "", 1), "write", "release");
    fail_if_armed(faults, "open cgroup files");
    Descriptors descriptors;
    descriptors.control = std::move(control.ours);
    int pidfd = ::fcntl(process.pidfd(), F_DUPFD_CLOEXEC, kFirstFreeFd);
    descriptors.pidfd.reset(sys::check(pidfd, "dup", "pidfd"));
    groups.open_files(leaf, descriptors);
    return {std::move(process), leaf.path, std::move(descriptors)};
  } catch (...) {
    (void)groups.remove(leaf.path);  // the process, if any, is reaped by now
    throw;
  }
}

}  // namespace hearth::sandbox::spawner
