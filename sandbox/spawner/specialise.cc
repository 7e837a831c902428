// SPDX-License-Identifier: Apache-2.0
#include "sandbox/spawner/specialise.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <sstream>
#include <vector>

#include "sandbox/spawner/child.h"
#include "sandbox/spawner/mounts.h"

namespace hearth::sandbox::spawner {
namespace {

struct Step;

// Shared with the helper, which runs in this very memory while the spawner stands still (vfork): it
// makes system calls and writes here, and throws and allocates nothing.
struct Work {
  int pidfd, bundle;
  Plan plan;  // for the mount options
  std::vector<pid_t> processes;
  Faults* faults;
  const Step* failed = nullptr;
  int error = 0;
};

bool enter(Work& work) {
  return ::setns(work.pidfd, CLONE_NEWUSER | CLONE_NEWNS) == 0;
}

// From here on the working directory is the sandbox' root. Descriptors that are left open end with
// the helper.
bool mount_task(Work& work) {
  int place = mounts::try_open_below(AT_FDCWD, "var/task").release();
  return place >= 0 && ::move_mount(work.bundle, "", place, "",
                                    MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) == 0;
}

// Gives an existing tmpfs another size. It fails when more than that is in it.
bool resize(const Work& work, const char* path) {
  int place = mounts::try_open_below(AT_FDCWD, path).release();
  if (place < 0) return false;
  int context = ::fspick(place, "", FSPICK_CLOEXEC | FSPICK_EMPTY_PATH);
  return context >= 0 &&
         ::fsconfig(context, FSCONFIG_SET_STRING, "size", work.plan.tmp_bytes, 0) == 0 &&
         ::fsconfig(context, FSCONFIG_SET_STRING, "nr_inodes", work.plan.tmp_inodes, 0) == 0 &&
         ::fsconfig(context, FSCONFIG_CMD_RECONFIGURE, nullptr, nullptr, 0) == 0;
}

bool resize_tmp(Work& work) {
  return resize(work, "tmp");
}
bool resize_shm(Work& work) {
  return resize(work, "dev/shm");
}

// As the sandbox' uid 0, so that a process number that was meanwhile given to somebody outside is
// refused by the kernel.
bool take_id(Work&) {
  return ::syscall(SYS_setresgid, 0, 0, 0) == 0 && ::syscall(SYS_setresuid, 0, 0, 0) == 0;
}

// hearth-init and the interpreter that waits for code; what they start later inherits it.
bool limit_processes(Work& work) {
  const Limits& limits = work.plan.limits;
  const struct {
    __rlimit_resource resource;
    uint64_t value;
  } rows[] = {{RLIMIT_NPROC, process_rlimit(limits.processes_max)},
              {RLIMIT_NOFILE, limits.open_files_max},
              {RLIMIT_FSIZE, limits.file_bytes_max}};
  for (pid_t pid : work.processes) {
    for (const auto& row : rows) {
      rlimit current{};
      if (::prlimit(pid, row.resource, nullptr, &current) < 0) {
        if (errno == ESRCH) break;
        return false;
      }
      rlim_t value = std::min<rlim_t>(row.value, current.rlim_max);
      rlimit wanted{value, value};
      if (::prlimit(pid, row.resource, &wanted, nullptr) < 0 && errno != ESRCH) return false;
    }
  }
  return true;
}

struct Step {
  const char* name;
  const char* object;
  bool (*run)(Work&);
};
constexpr Step kSteps[] = {
    {"enter the sandbox", "its namespaces", enter},
    {"attach the code", "/var/task", mount_task},
    {"resize /tmp", "/tmp", resize_tmp},
    {"resize /dev/shm", "/dev/shm", resize_shm},
    {"take the sandbox' id", "uid 0", take_id},
    {"limit its processes", "resource limits", limit_processes},
};

constexpr auto kStepNames = [] {
  std::array<const char*, std::size(kSteps)> names{};
  for (size_t i = 0; i < names.size(); ++i) names[i] = kSteps[i].name;
  return names;
}();

int run_helper(void* argument) {
  Work& work = *static_cast<Work*>(argument);
  for (const Step& step : kSteps) {
    int error = work.faults->fires(step.name);
    if (error == 0 && !step.run(work)) error = errno;
    if (error == 0) continue;
    work.failed = &step;
    work.error = error;
    break;
  }
  return 0;
}

}  // namespace

void specialise(int pidfd, int bundle, const Limits& limits, const std::string& processes,
                Faults& faults) {
  Work work{pidfd, bundle, {}, {}, &faults};
  work.plan.limits = limits;
  set_tmp_options(work.plan);
  std::istringstream numbers(processes);
  for (pid_t pid; numbers >> pid;) work.processes.push_back(pid);

  // Without a copy of the address space: 80 µs instead of 200.
  alignas(16) static char stack[64 << 10];
  pid_t helper = ::clone(run_helper, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, &work);
  sys::check(helper, "clone", "helper");
  pid_t ended;
  do ended = ::waitpid(helper, nullptr, 0);
  while (ended < 0 && errno == EINTR);
  sys::check(ended, "waitpid", "helper");
  if (work.failed) throw sys::Error(work.failed->name, work.failed->object, work.error);
}

std::span<const char* const> specialise_steps() {
  return kStepNames;
}

}  // namespace hearth::sandbox::spawner
