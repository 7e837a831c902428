// SPDX-License-Identifier: Apache-2.0
// hearth-spawner: makes, kills and removes sandboxes for hearthd. Descriptor 3 is the connection,
// the arguments are the policy; see hearth-spawner(8).
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "sandbox/spawner/privileges.h"
#include "sandbox/spawner/spawner.h"
#include "sandbox/spawner/specialise.h"
#include "sandbox/spawner/stage.h"
#include "sandbox/sys/error.h"
#include "sandbox/sys/fail_point.h"
#include "sandbox/sys/log.h"

using namespace hearth;
using namespace hearth::sandbox;
using namespace hearth::sandbox::spawner;

namespace {

constexpr int kUsage = 2;

// What a sandbox must not inherit, and what would end this process before its sandboxes' owner.
void detach_from_caller() {
  for (int number = 1; number < NSIG; ++number) (void)::signal(number, SIG_DFL);
  sigset_t ours;
  sigemptyset(&ours);
  for (int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP}) sigaddset(&ours, number);
  sys::check(::sigprocmask(SIG_SETMASK, &ours, nullptr), "sigprocmask");
  (void)::setsid();  // EPERM: it leads a session already
  ::umask(022);
  sys::check(::chdir("/"), "chdir", "/");
  sys::check(::clearenv(), "clearenv");
}

sys::Fd open_pidfd(pid_t pid) {
  long fd = sys::check(::syscall(SYS_pidfd_open, pid, 0), "pidfd_open");
  return sys::Fd(static_cast<int>(fd));
}

// For the rest of this process' life.
void place(sys::Fd fd, int number) {
  if (fd.get() == number) return (void)fd.release();
  sys::check(::dup3(fd.get(), number, O_CLOEXEC), "dup3");
}

void prepare_descriptors(const SpawnerPolicy& policy) {
  sys::check(::fcntl(kSocketFd, F_SETFD, FD_CLOEXEC), "fcntl", "descriptor 3");
  sys::check(::close_range(kInitFd, ~0u, 0), "close_range");
  place(open_init(policy.init_path), kInitFd);
  place(open_pidfd(::getpid()), kSpawnerFd);
  // One descriptor per sandbox is kept.
  rlimit files{};
  sys::check(::getrlimit(RLIMIT_NOFILE, &files), "getrlimit");
  files.rlim_cur = files.rlim_max;
  sys::check(::setrlimit(RLIMIT_NOFILE, &files), "setrlimit");
}

void run(const SpawnerPolicy& policy, Faults& faults) {
  detach_from_caller();
  prepare_descriptors(policy);
  Groups groups(policy.cgroup_base, policy.mode, policy.io_devices);
  enter_stage(policy);
  // From here on nothing of the host's file system can be named.
  drop_to_spawner();
  Spawner(policy, std::move(groups), faults).serve(kSocketFd);
}

// hearthd waits for the first answer, so it hears why there is no service.
void report(const sys::Error& error) {
  Failure failure{error.call(), error.object(), error.code()};
  wire::AnswerBytes bytes = wire::encode(wire::Answer(wire::RefusedAnswer{0, failure}));
  (void)::send(kSocketFd, bytes.data(), bytes.size(), MSG_NOSIGNAL);  // it may be gone
}

#if defined(HEARTH_FAULTS) || defined(HEARTH_FAIL_POINTS)
constexpr const char* kSpawnerSteps[] = {
    "open image", "open bundle",   "make descriptors", "make cgroup",
    "clone",      "write uid_map", "write gid_map",    "open cgroup files"};

// --list-steps prints what can be made to fail; HEARTH_SPAWNER_FAIL_STEP and _ERRNO arm one where
// there are no fail points.
void arm_faults(const std::vector<std::string>& arguments, Faults& faults) {
  if (arguments == std::vector<std::string>{"--list-steps"}) {
    for (const char* step : kSpawnerSteps) std::puts(step);
    for (const char* step : child_steps()) std::puts(step);
    for (const char* step : specialise_steps()) std::puts(step);
    std::exit(0);
  }
#ifdef HEARTH_FAULTS
  const char* step = ::getenv("HEARTH_SPAWNER_FAIL_STEP");
  const char* error = ::getenv("HEARTH_SPAWNER_FAIL_ERRNO");
  if (step && error) faults.arm(::strdup(step), std::atoi(error));
#else
  (void)faults;
#endif
}
#else
void arm_faults(const std::vector<std::string>&, Faults&) {}
#endif

}  // namespace

int main(int argc, char** argv) {
  Faults faults;
  std::vector<std::string> arguments(argv + 1, argv + argc);
  arm_faults(arguments, faults);
  auto policy = parse_arguments(arguments);
  if (auto* bad = std::get_if<BadPolicy>(&policy)) {
    fmt::print(stderr, "hearth-spawner: {}\n", bad->message);
    return kUsage;
  }
  try {
    run(std::get<SpawnerPolicy>(policy), faults);
  } catch (const sys::Error& error) {
    sys::log::error("hearth-spawner ends", {{"error", error.what()}});
    report(error);
    return 1;
  }
  return 0;
}
