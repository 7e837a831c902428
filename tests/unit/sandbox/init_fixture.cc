// SPDX-License-Identifier: Apache-2.0
// What runs under hearth-init in its tests: a program that does what it is told over its channel, a
// line at a time, and zygotes from honest to hostile.
#include <fcntl.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

constexpr int kChannel = 3, kForkSocket = 4;

void expect(bool ok, const char* what) {
  if (ok) return;
  std::string line = std::string(what) + ": " + std::strerror(errno) + "\n";
  (void)!::write(kChannel, line.data(), line.size());
  ::_exit(9);
}

std::string file(const char* path) {
  std::string text(64 * 1024, '\0');
  int fd = ::open(path, O_RDONLY | O_CLOEXEC);
  expect(fd >= 0, path);
  text.resize(size_t(::read(fd, text.data(), text.size())));
  ::close(fd);
  return text;
}

std::string status_field(const std::string& name) {
  std::string status = file("/proc/self/status");
  size_t at = status.find("\n" + name + ":\t");
  if (at == std::string::npos) return "?";
  at += name.size() + 3;
  return status.substr(at, status.find('\n', at) - at);
}

std::string open_descriptors() {
  std::string list;
  for (int fd = 0; fd < 1024; ++fd)
    if (::fcntl(fd, F_GETFD) >= 0) list += (list.empty() ? "" : " ") + std::to_string(fd);
  return list;
}

std::string state(const std::string& what) {
  if (what == "fds") return open_descriptors();
  if (what == "cwd") {
    char path[256];
    return ::getcwd(path, sizeof path) ? path : "?";
  }
  if (what == "pid") return std::to_string(::getpid());
  if (what == "sid") return std::to_string(::getsid(0));
  if (what == "stdin-flags") return ::fcntl(0, F_GETFL) & O_NONBLOCK ? "does not block" : "blocks";
  if (what == "env") {
    std::string env;
    for (char** e = environ; *e; ++e) env += (env.empty() ? "" : " ") + std::string(*e);
    return env;
  }
  return status_field(what);
}

void touch(const std::string& path, mode_t mode = 0600) {
  int fd = ::open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, mode);
  expect(fd >= 0, "create");
  ::close(fd);
}

void make_folder(const char* name, mode_t mode = 0700) {
  expect(::mkdir(name, mode) == 0, name);
}

void fill(const std::string& folder, int count) {
  for (int i = 0; i < count; ++i) touch(folder + "/" + std::to_string(i));
}

void deep(const std::string& folder, int levels) {
  expect(::chdir(folder.c_str()) == 0, "chdir");
  for (int i = 0; i < levels; ++i) {
    make_folder("d");
    touch("f");
    expect(::chdir("d") == 0, "chdir d");
  }
}

// Everything that could make removing hard.
void awkward(const std::string& folder) {
  expect(::chdir(folder.c_str()) == 0, "chdir");
  make_folder("sticky");
  make_folder("sticky/in");
  make_folder("sticky/in/in");
  touch("sticky/f");
  touch("sticky/in/f");
  expect(::chmod("sticky/in", 01000) == 0 && ::chmod("sticky", 01777) == 0, "chmod");
  make_folder("none");
  make_folder("none/in");
  touch("none/f");
  touch("none/in/f", 0);
  expect(::chmod("none/in", 0) == 0 && ::chmod("none", 0) == 0, "chmod");
  make_folder("moved-up.0");
  make_folder("moved-up.0/moved-up.1");
  make_folder("moved-up.0/moved-up.1/moved-up.0");
  make_folder("moved-up.1");
  touch("moved-up.2");
  touch("new\nline \xff\xfe");
  touch(std::string(255, 'n'));
  expect(::symlink("/var/task", "link") == 0 && ::symlink("..", "up") == 0, "symlink");
  expect(::link("moved-up.2", "hard") == 0, "link");
  expect(::mkfifo("fifo", 0600) == 0, "mkfifo");
  int listener = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{AF_UNIX, "socket"};
  expect(::bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0, "bind");
  int unnamed = ::open(".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  expect(unnamed >= 0 && ::write(unnamed, "x", 1) == 1, "O_TMPFILE");
  expect(::fsync(unnamed) == 0, "fsync");
  constexpr unsigned long kSetFlags = 0x40086602, kImmutable = 0x10;
  unsigned long flags = kImmutable;
  expect(::ioctl(unnamed, kSetFlags, &flags) < 0, "an inode became immutable");
  ::chmod(folder.c_str(), 0);
}

// A process that nobody waits for, deaf to what can be ignored.
void orphan() {
  if (::fork() == 0) {
    if (::fork() == 0) {
      ::setsid();
      for (int signal = 1; signal < NSIG; ++signal) std::signal(signal, SIG_IGN);
      for (;;) ::pause();
    }
    ::_exit(0);
  }
  ::wait(nullptr);
}

// Forks and leaves, again and again, in several lines of descent, as fast as it can.
void bomb() {
  for (int i = 0; i < 8; ++i) {
    if (::fork() != 0) continue;
    ::setsid();
    for (;;)
      if (::fork() > 0 && i % 2 == 0) ::_exit(0);
  }
}

std::string number_answer(long rc) {
  return rc < 0 ? std::strerror(errno) : "done";
}

std::string obey(const std::string& command, const std::string& argument) {
  int number = std::atoi(argument.c_str());
  if (command == "state") return state(argument);
  if (command == "fill") fill("/tmp", number);
  if (command == "fill-shm") fill("/dev/shm", number);
  if (command == "deep") deep("/tmp", number);
  if (command == "awkward") awkward(argument);
  if (command == "orphan") orphan();
  if (command == "bomb") bomb();
  if (command == "exit") ::_exit(number);
  if (command == "print") (void)!::write(1, "out", 3), (void)!::write(2, "err", 3);
  if (command == "stop") return number_answer(::kill(number, SIGSTOP));
  if (command == "kill") return number_answer(::kill(number, SIGKILL));
  if (command == "trace") return number_answer(::syscall(SYS_ptrace, 16, number, 0, 0));
  if (command == "see") return number_answer(::access(argument.c_str(), F_OK));
  if (command == "nice") return number_answer(::syscall(SYS_setpriority, 0, number, 19));
  if (command == "write") {
    std::string bytes(size_t(number) << 10, 'x');
    int fd = ::open("/tmp/bytes", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    return number_answer(::write(fd, bytes.data(), bytes.size()));
  }
  if (command == "unblock-stdin") return number_answer(::fcntl(0, F_SETFL, O_NONBLOCK));
  if (command == "block") return number_answer(::fcntl(kChannel, F_SETFL, 0));
  return "done";
}

[[noreturn]] void serve() {
  std::string line;
  char c;
  while (::read(kChannel, &c, 1) == 1) {
    if (c != '\n') {
      line += c;
      continue;
    }
    size_t blank = line.find(' ');
    std::string argument = blank == std::string::npos ? "" : line.substr(blank + 1);
    std::string answer = obey(line.substr(0, blank), argument) + "\n";
    line.clear();
    expect(::write(kChannel, answer.data(), answer.size()) == ssize_t(answer.size()), "answer");
  }
  ::_exit(0);
}

// Waits for `F` and its three descriptors.
bool receive_fork(int (&fds)[3]) {
  char letter = 0;
  iovec part{&letter, 1};
  alignas(cmsghdr) char ancillary[CMSG_SPACE(sizeof fds)];
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = ancillary;
  message.msg_controllen = sizeof ancillary;
  if (::recvmsg(kForkSocket, &message, MSG_CMSG_CLOEXEC) != 1 || letter != 'F') return false;
  cmsghdr* rights = CMSG_FIRSTHDR(&message);
  if (!rights || rights->cmsg_len != CMSG_LEN(sizeof fds)) return false;
  std::memcpy(fds, CMSG_DATA(rights), sizeof fds);
  return true;
}

[[noreturn]] void be_parked_child(const int (&fds)[3]) {
  ::close(kForkSocket);
  ::setsid();
  ::dup2(fds[0], kChannel);
  ::dup2(fds[1], 1);
  ::dup2(fds[2], 2);
  ::close_range(4, ~0u, 0);
  serve();
}

int32_t park(const int (&fds)[3], bool as_sibling) {
  unsigned long flags = SIGCHLD | (as_sibling ? CLONE_PARENT : 0);
  auto pid = int32_t(::syscall(SYS_clone, flags, nullptr, nullptr, nullptr, 0));
  if (pid == 0) be_parked_child(fds);
  return pid;
}

void answer(int32_t pid) {
  (void)!::write(kForkSocket, &pid, sizeof pid);
}

// Answers one request to fork in the way that `mode` names.
void answer_as(const std::string& mode, const int (&fds)[3]) {
  if (mode == "silent") return;
  if (mode == "short") (void)!::write(kForkSocket, "ab", 2);
  if (mode == "long") (void)!::write(kForkSocket, "abcdefgh", 8);
  if (mode == "closing") ::close(kForkSocket);
  if (mode == "dying") ::_exit(3);
  if (mode == "itself") answer(::getpid());
  if (mode == "init") answer(1);
  if (mode == "zero") answer(0);
  if (mode == "nobody") answer(12345);
  if (mode == "everybody") answer(-1000000);
  if (mode == "errno") answer(-EAGAIN);
  if (mode == "own-child") answer(park(fds, false));
  if (mode == "dead-child") {
    int32_t pid =
        int32_t(::syscall(SYS_clone, SIGCHLD | CLONE_PARENT, nullptr, nullptr, nullptr, 0));
    if (pid == 0) ::_exit(0);
    ::usleep(20000);
    answer(pid);
  }
  if (mode == "late-dying") {
    int32_t pid = park(fds, true);
    answer(pid);
    if (::fork() == 0) {  // once the child is started; holds the socket open
      ::usleep(50000);
      ::_exit(0);
    }
    ::_exit(0);
  }
  if (mode == "honest" || mode == "parent") answer(park(fds, true));
  if (mode == "stopping") {
    int32_t pid = park(fds, true);
    while (::getsid(pid) != pid) ::usleep(1000);  // no longer in this process group
    answer(pid);
    ::kill(0, SIGSTOP);
  }
}

[[noreturn]] void be_zygote(const std::string& mode) {
  if (mode == "parent" && ::fork() == 0) serve();
  int fds[3];
  while (receive_fork(fds)) {
    answer_as(mode, fds);
    for (int fd : fds) ::close(fd);
    if (mode == "closing") break;
  }
  for (;;) ::pause();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  const char* role = std::getenv("HEARTH_ROLE");
  std::string mode = argv[1];
  if (role && std::string(role) == "zygote" && mode != "serve") be_zygote(mode);
  serve();
}
