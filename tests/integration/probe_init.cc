// SPDX-License-Identifier: Apache-2.0
// A PID 1 for tests of the spawner alone: says Ready like hearth-init, then runs what it is told.
// A message is 'r' (as PID 1's own uid, with its capabilities) or 'u' (as the user), then a shell
// command; the answer is its exit status in one byte, then its output. It is static, as the real
// one is, and needs only /bin/sh of the image.
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <string>

namespace {

constexpr int kControl = 3;
constexpr char kReady[] = {16};  // control::Kind::kReady

// Leaving uid 0 drops all sets but the inheritable one.
void become_user() {
  if (setresgid(1000, 1000, 1000) < 0 || setresuid(1000, 1000, 1000) < 0) _exit(126);
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct none[2] = {};
  if (syscall(SYS_capset, &header, none) < 0) _exit(126);
}

[[noreturn]] void run(const char* command, char as, int output) {
  dup2(output, STDOUT_FILENO);
  dup2(output, STDERR_FILENO);
  close(kControl);
  if (as == 'u') become_user();
  execl("/bin/sh", "sh", "-c", command, static_cast<char*>(nullptr));
  _exit(127);
}

void answer(const char* request) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) _exit(1);
  pid_t pid = fork();
  if (pid == 0) run(request + 1, request[0], ends[1]);
  close(ends[1]);
  std::string reply(1, '\0');
  char part[4096];
  ssize_t got;
  while ((got = read(ends[0], part, sizeof part)) > 0) reply.append(part, size_t(got));
  close(ends[0]);
  int status = 0;
  if (pid < 0 || waitpid(pid, &status, 0) != pid) _exit(1);
  reply[0] = static_cast<char>(WIFEXITED(status) ? WEXITSTATUS(status) : 125);
  reply.resize(std::min(reply.size(), size_t{100000}));
  if (send(kControl, reply.data(), reply.size(), MSG_NOSIGNAL) < 0) _exit(1);
}

}  // namespace

int main() {
  if (send(kControl, kReady, sizeof kReady, MSG_NOSIGNAL) < 0) return 1;
  char request[8192];
  for (;;) {
    ssize_t got = recv(kControl, request, sizeof request - 1, 0);
    if (got < 2) pause();  // its sandbox is killed, it does not end by itself
    request[got] = '\0';
    answer(request);
  }
}
