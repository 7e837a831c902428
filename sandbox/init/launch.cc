// SPDX-License-Identifier: Apache-2.0
#include "sandbox/init/launch.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <span>

#include "sandbox/init/filter.h"
#include "sandbox/sys/error.h"

namespace hearth::sandbox::init {
namespace {

constexpr const char* kTaskFolder = "/var/task";

// What the new process does, prepared before it exists: it shares our memory until exec, so it must
// not allocate, and writes here what went wrong.
struct Plan {
  char* const* argv;
  char* const* env;
  std::span<const int> descriptors;  // become 0, 1, 2 …; -1: /dev/null
  sock_fprog filter;

  const char* failed_step = nullptr;
  const char* failed_object = "";
  int error = 0;
};

// Ends the new process unless `rc` is a success.
void need(Plan& plan, long rc, const char* step, const char* object = "") {
  if (rc >= 0) return;
  plan.error = errno;
  plan.failed_step = step;
  plan.failed_object = object;
  ::_exit(127);
}

void arrange_descriptors(Plan& plan) {
  for (size_t i = 0; i < plan.descriptors.size(); ++i) {
    int from = plan.descriptors[i];
    // Opened anew: the flags of a shared description would pass from one process to the next.
    if (from < 0) need(plan, from = ::open("/dev/null", O_RDWR), "open", "/dev/null");
    need(plan, ::dup2(from, int(i)), "dup2");  // also takes close-on-exec away
  }
  need(plan, ::close_range(unsigned(plan.descriptors.size()), ~0u, 0), "close_range");
}

void become_user(Plan& plan) {
  need(plan, ::setgroups(0, nullptr), "setgroups");
  need(plan, ::setresgid(kUserGid, kUserGid, kUserGid), "setresgid");
  need(plan, ::setresuid(kUserUid, kUserUid, kUserUid), "setresuid");
  need(plan, ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), "clear ambient");
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {};
  need(plan, ::syscall(SYS_capset, &header, none), "capset");
  // The bounding set is empty and no_new_privs set: from here on no capability can be regained.
}

// The new process, from its first instruction to exec.
int run(void* argument) {
  Plan& plan = *static_cast<Plan*>(argument);
  arrange_descriptors(plan);
  need(plan, ::setsid(), "setsid");
  become_user(plan);
  // After the change of ids, which clears it.
  need(plan, ::prctl(PR_SET_PDEATHSIG, SIGKILL), "prctl", "PR_SET_PDEATHSIG");
  ::umask(022);
  if (::chdir(kTaskFolder) < 0) need(plan, ::chdir("/"), "chdir", "/");
  sigset_t nothing;
  sigemptyset(&nothing);
  need(plan, ::sigprocmask(SIG_SETMASK, &nothing, nullptr), "sigprocmask");
  need(plan, ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &plan.filter), "seccomp");
  need(plan, ::execve(plan.argv[0], plan.argv, plan.env), "exec", plan.argv[0]);
  return 127;
}

template <size_t n>
sock_fprog program(const sock_filter (&code)[n]) {
  return {n, const_cast<sock_filter*>(code)};
}

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> list;
  list.reserve(strings.size() + 2);
  for (const std::string& string : strings) list.push_back(const_cast<char*>(string.c_str()));
  return list;
}

void set_nonblocking(const sys::Fd& fd) {
  sys::check(::fcntl(fd.get(), F_SETFL, O_NONBLOCK), "fcntl");  // there is no other flag to keep
}

struct Pipe {
  sys::Fd read, write;
};

Pipe make_pipe() {
  int ends[2];
  sys::check(::pipe2(ends, O_CLOEXEC), "pipe2");
  return {sys::Fd(ends[0]), sys::Fd(ends[1])};
}

}  // namespace

Connection connect(control::Stdio stdio) {
  Connection connection;
  control::Started& ours = connection.ours;
  auto& [first, out, err] = connection.theirs;
  Pipe output = make_pipe(), errors = make_pipe();
  set_nonblocking(output.read);
  set_nonblocking(errors.read);
  if (stdio == control::Stdio::kFramed) {
    int ends[2];
    sys::check(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), "socketpair");
    ours.in.reset(ends[0]);
    first.reset(ends[1]);
    ours.log_out = std::move(output.read);
  } else {
    Pipe input = make_pipe();
    ours.in = std::move(input.write);
    first = std::move(input.read);
    ours.out = std::move(output.read);
  }
  set_nonblocking(ours.in);
  ours.log_err = std::move(errors.read);
  out = std::move(output.write);
  err = std::move(errors.write);
  return connection;
}

pid_t launch(const control::Start& start, const std::array<sys::Fd, 3>& theirs, int fork_socket) {
  bool zygote = start.role == control::Role::kZygote;
  std::vector<char*> argv = pointers(start.argv), env = pointers(start.env);
  argv.push_back(nullptr);
  if (zygote) env.push_back(const_cast<char*>("HEARTH_ROLE=zygote"));
  env.push_back(nullptr);
  int framed[] = {-1, theirs[1].get(), theirs[2].get(), theirs[0].get(), fork_socket};
  int raw[] = {theirs[0].get(), theirs[1].get(), theirs[2].get()};
  Plan plan{argv.data(), env.data(), raw, program(kServerFilter)};
  if (start.stdio == control::Stdio::kFramed) plan.descriptors = {framed, zygote ? 5u : 4u};
  if (zygote) plan.filter = program(kZygoteFilter);
  // init keeps 3 to 7 for itself, so no source is overwritten before it is moved.
  for (int from : plan.descriptors) HEARTH_CHECK(from == -1 || from > 7);

  // As posix_spawn does it: our memory, a stack of its own, and we wait until exec. The process
  // cannot be traced by the user it becomes, since this memory is not dumpable.
  alignas(16) static char stack[64 * 1024];
  pid_t pid = sys::check(
      ::clone(run, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, &plan), "clone");
  if (plan.error == 0) return pid;
  (void)::waitpid(pid, nullptr, __WALL);  // it is ending or ended; its status says nothing more
  throw sys::Error(plan.failed_step, plan.failed_object, plan.error);
}

}  // namespace hearth::sandbox::init
