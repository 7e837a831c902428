// SPDX-License-Identifier: Apache-2.0
#include "sandbox/init/children.h"

#include <fcntl.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>

#include "sandbox/sys/error.h"

namespace hearth::sandbox::init {

Children::Children() {
  constexpr const char* kPath = "/proc/1/task/1/children";
  list_.reset(sys::check(::open(kPath, O_RDONLY | O_CLOEXEC), "open", kPath));
}

std::vector<pid_t> Children::list() const {
  std::array<char, 4096> text;
  ssize_t size = sys::check(::pread(list_.get(), text.data(), text.size(), 0), "read", "children");
  std::vector<pid_t> pids;
  pid_t pid = 0;
  // "2 5 19 ": a number without its blank was cut off.
  for (ssize_t i = 0; i < size; ++i) {
    if (text[size_t(i)] != ' ') {
      pid = pid * 10 + (text[size_t(i)] - '0');
    } else {
      pids.push_back(pid);
      pid = 0;
    }
  }
  return pids;
}

std::optional<Reaped> Children::reap() {
  Reaped reaped{};
  // __WALL: whatever signal it was to end with.
  reaped.pid = ::wait4(-1, &reaped.wait_status, WNOHANG | __WALL, nullptr);
  if (reaped.pid <= 0) return std::nullopt;
  return reaped;
}

void Children::wait(Clock::time_point deadline) {
  auto left = std::chrono::duration_cast<std::chrono::nanoseconds>(deadline - Clock::now()).count();
  left = std::max<decltype(left)>(left, 0);
  timespec timeout{left / 1'000'000'000, left % 1'000'000'000};
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  (void)::sigtimedwait(&child, nullptr, &timeout);  // the caller looks for itself what happened
}

bool is_running_child(pid_t pid) {
  siginfo_t info{};
  int rc = ::waitid(P_PID, id_t(pid), &info, WEXITED | WSTOPPED | WNOHANG | WNOWAIT | __WALL);
  return rc == 0 && info.si_pid == 0;
}

}  // namespace hearth::sandbox::init
