// SPDX-License-Identifier: Apache-2.0
// hearth-init: PID 1 of a sandbox. The set-up child executes it with the control socket as 3,
// /dev/null as 0, 1 and 2, no_new_privs, an empty bounding set, and of all capabilities (in the
// sandbox's own user namespace) SETUID, SETGID, KILL and DAC_OVERRIDE.
#include <sched.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <csignal>

#include "sandbox/control.h"
#include "sandbox/init/init.h"
#include "sandbox/sys/error.h"

namespace {

using namespace hearth;
using namespace hearth::sandbox;

constexpr int kControl = 3;

// What exec and the change of ids undid, and what it let through.
void settle() {
  // First of all: from here on no process of the user can trace this one or look into it.
  sys::check(::prctl(PR_SET_DUMPABLE, 0), "prctl", "PR_SET_DUMPABLE");
  sys::check(::prctl(PR_SET_PDEATHSIG, SIGKILL), "prctl", "PR_SET_PDEATHSIG");
  // A process of a sandbox that wakes lets the one that runs go on. hearthd wakes one with each
  // call and, under load, would be interrupted each time. Inherited by all; it is for speed only.
  sched_param none{};
  (void)::sched_setscheduler(0, SCHED_BATCH, &none);
  sys::check(::close_range(kControl + 1, ~0u, 0), "close_range");
  for (int signal = 1; signal < NSIG; ++signal) {
    struct sigaction defaults {};
    (void)::sigaction(signal, &defaults,
                      nullptr);  // refused for KILL, STOP and the C library's own
  }
  sigset_t all;
  sigfillset(&all);
  sys::check(::sigprocmask(SIG_SETMASK, &all, nullptr), "sigprocmask");
}

void report(const sys::Error& error) {
  try {
    control::Failed failed{{error.call(), error.object(), error.code()}};
    control::send(kControl, control::Event(std::move(failed)));
  } catch (const sys::Error&) {
    // Nobody listens.
  }
}

}  // namespace

// When it returns, the kernel kills every other process of the sandbox.
int main() {
  try {
    settle();
    init::Init init(kControl);
    init.serve();
  } catch (const sys::Error& error) {
    if (error.code() == ECONNRESET || error.code() == EPIPE) return 0;  // hearthd closed it
    report(error);
    return 1;
  }
}
