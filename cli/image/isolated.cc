// SPDX-License-Identifier: Apache-2.0
#include "cli/image/isolated.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "cli/failure.h"
#include "cli/rows.h"
#include "sandbox/sys/error.h"

namespace hearth::cli {
namespace {

constexpr int kTickMs = 500;
constexpr int kCannotStart = 126;
constexpr useconds_t kStopIntervalUs = 20'000;

volatile sig_atomic_t stop_signal = 0;
volatile pid_t program_pid = -1;  // in the guardian only

void on_stop(int signal) {
  stop_signal = signal;
}

// The guardian's: what it watches is PID 1 of the namespace, so this ends everything in it.
void on_guardian_stop(int) {
  ::kill(program_pid, SIGKILL);
}

[[noreturn]] void give_up(const char* step) {
  ::dprintf(STDERR_FILENO, "%s: %s\n", step, std::strerror(errno));
  ::_exit(kCannotStart);
}

std::vector<std::string> environment() {
  std::vector<std::string> env{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8",
                               "DEBIAN_FRONTEND=noninteractive"};
  for (const char* name : {"http_proxy", "https_proxy", "no_proxy", "TMPDIR"})
    if (const char* value = std::getenv(name)) env.push_back(fmt::format("{}={}", name, value));
  return env;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> list;
  for (std::string& text : texts) list.push_back(text.data());
  list.push_back(nullptr);
  return list;
}

// PID 1 of the new namespace.
[[noreturn]] void become_program(std::vector<std::string> argv) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (int signal : {SIGTERM, SIGPIPE}) ::signal(signal, SIG_DFL);
  if (::mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) != 0)
    give_up("mount /proc");
  std::vector<std::string> env = environment();
  ::execvpe(argv[0].c_str(), pointers(argv).data(), pointers(env).data());
  give_up(argv[0].c_str());
}

// Makes the namespaces, starts the program in them and waits for it. It dies with the process that
// started it, and the program with it.
[[noreturn]] void become_guardian(const Isolated& program, pid_t parent, int tree, int output) {
  for (int signal : {SIGINT, SIGTERM, SIGHUP}) ::signal(signal, SIG_DFL);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(kCannotStart);
  int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (null < 0 || ::dup2(null, STDIN_FILENO) < 0) give_up("/dev/null");
  if (::dup2(output, STDOUT_FILENO) < 0 || ::dup2(output, STDERR_FILENO) < 0) ::_exit(kCannotStart);
  ::setsid();
  if (::unshare(CLONE_NEWNS | CLONE_NEWPID) != 0) give_up("unshare");
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    give_up("make mounts private");
  if (::move_mount(tree, "", AT_FDCWD, kIsolatedWork, MOVE_MOUNT_F_EMPTY_PATH) != 0)
    give_up("mount the image's folder");
  sigset_t mask;  // SIGTERM must not come before there is something to end
  sigemptyset(&mask);
  sigaddset(&mask, SIGTERM);
  ::sigprocmask(SIG_BLOCK, &mask, nullptr);
  program_pid = ::fork();
  if (program_pid < 0) give_up("fork");
  if (program_pid == 0) {
    ::sigprocmask(SIG_UNBLOCK, &mask, nullptr);
    become_program(program.argv);
  }
  ::signal(SIGTERM, on_guardian_stop);
  ::sigprocmask(SIG_UNBLOCK, &mask, nullptr);
  int status = 0;
  while (::waitpid(program_pid, &status, 0) < 0 && errno == EINTR) {
  }
  ::_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

// The started guardian. Destruction ends it and all in its namespaces.
class Guardian {
 public:
  Guardian(const Isolated& program, int output) {
    // A detached copy: a descriptor of this mount namespace could not be mounted in the new one.
    unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH;
    sys::Fd tree(
        sys::check(::open_tree(program.work, "", flags), "open_tree", "the image's folder"));
    pid_t parent = ::getpid();
    pid_ = sys::check(::fork(), "fork");
    if (pid_ == 0) become_guardian(program, parent, tree.get(), output);
  }
  Guardian(const Guardian&) = delete;
  Guardian& operator=(const Guardian&) = delete;
  ~Guardian() {
    // Again and again: the first signal may come before the guardian handles it.
    while (pid_ > 0 && ::waitpid(pid_, nullptr, WNOHANG) == 0) {
      ::kill(pid_, SIGTERM);
      ::usleep(kStopIntervalUs);
    }
  }

  int wait() {
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  pid_t pid_ = -1;
};

// Until the last process that holds the other end has gone.
void read_lines(int fd, const Isolated& program) {
  LineSplitter lines(program.on_line);
  std::array<char, 4096> buffer;
  for (;;) {
    stop_if_asked();
    pollfd wait{fd, POLLIN, 0};
    int ready = ::poll(&wait, 1, kTickMs);
    if (ready < 0 && errno != EINTR) throw sys::Error("poll", "", errno);
    program.on_tick();
    if (ready <= 0) continue;
    ssize_t n = ::read(fd, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (sys::check(n, "read", "the program's output") == 0) return lines.finish();
    lines.feed({buffer.data(), static_cast<size_t>(n)});
  }
}

}  // namespace

void run_isolated(const Isolated& program) {
  std::array<int, 2> ends{};
  sys::check(::pipe2(ends.data(), O_CLOEXEC), "pipe");
  sys::Fd from(ends[0]), to(ends[1]);
  Guardian guardian(program, to.get());
  to.reset();
  read_lines(from.get(), program);
  int status = guardian.wait();
  if (status != 0)
    throw Failure(Status::kRefused,
                  fmt::format("{} failed with status {}", program.argv[0], status));
}

void catch_stop_signals() {
  struct sigaction action {};
  action.sa_handler = on_stop;  // no SA_RESTART: what waits is to look
  for (int signal : {SIGINT, SIGTERM, SIGHUP})
    sys::check(::sigaction(signal, &action, nullptr), "sigaction");
}

void stop_if_asked() {
  if (stop_signal == 0) return;
  std::string name = ::sigabbrev_np(stop_signal);
  throw Failure(Status::kRefused,
                fmt::format("interrupted by SIG{}; nothing is left of the image", name));
}

}  // namespace hearth::cli
