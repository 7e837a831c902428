// SPDX-License-Identifier: Apache-2.0
#include "fork.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { kExitNoChild = 71 };  // EX_OSERR: the child could not take over its descriptors

// More than one descriptor set: an order that carries too many is refused and none of them is
// leaked.
enum { kDescriptors = 3, kDescriptorsMax = 8 };

// Threads of the calling process, or -1. One stat instead of reading a folder: /proc counts them in
// the link count.
static int thread_count(void) {
  struct stat status;
  if (stat("/proc/self/task", &status) != 0) return -1;
  return (int)status.st_nlink - 2;
}

// Copies what the order carries to `fds`, above the numbers that the child gives to channel and
// standard streams.
static int take_descriptors(struct msghdr* message, int* fds) {
  int count = 0;
  for (struct cmsghdr* c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const int here = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    for (int i = 0; i < here && count < kDescriptorsMax; ++i, ++count) {
      memcpy(&fds[count], CMSG_DATA(c) + (size_t)i * sizeof(int), sizeof(int));
    }
  }
  for (int i = 0; i < count; ++i) {
    if (fds[i] > 4) continue;
    // User code closed one of 0 to 4 at import.
    const int moved = fcntl(fds[i], F_DUPFD_CLOEXEC, 5);
    close(fds[i]);
    fds[i] = moved;
  }
  return count;
}

int receive_order(int fork_socket, struct fork_order* order) {
  char byte = 0;
  struct iovec part = {&byte, 1};
  union {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(kDescriptorsMax * sizeof(int))];
  } control;
  struct msghdr message;
  memset(&message, 0, sizeof message);
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = &control;
  message.msg_controllen = sizeof control;
  ssize_t got;
  // A signal's handler would be user code in the zygote: it stays pending.
  do {
    got = recvmsg(fork_socket, &message, MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  if (got <= 0) return (int)got;

  int fds[kDescriptorsMax];
  const int count = take_descriptors(&message, fds);
  *order = (struct fork_order){-1, -1, -1, 0};
  if (byte != 'F' || count != kDescriptors || fds[0] < 0 || fds[1] < 0 || fds[2] < 0) {
    for (int i = 0; i < count; ++i) close(fds[i]);
    order->error = -EBADMSG;
    return 1;
  }
  *order = (struct fork_order){fds[0], fds[1], fds[2], 0};
  // A thread would be missing in the child, with every lock it holds: a library may start one late.
  if (thread_count() != 1) order->error = -EBUSY;
  return 1;
}

int answer_order(int fork_socket, int32_t answer) {
  ssize_t sent;
  do {
    sent = send(fork_socket, &answer, sizeof answer, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent == (ssize_t)sizeof answer ? 0 : -1;
}

void close_order(const struct fork_order* order) {
  if (order->channel < 0) return;
  close(order->channel);
  close(order->out);
  close(order->err);
}

// Where the C library keeps the number of the main thread, which fork(2) would renew; NULL when the
// kernel does not tell.
static int* library_tid(void) {
  int* tid = NULL;
  if (prctl(PR_GET_TID_ADDRESS, &tid) != 0 || tid == NULL) return NULL;
  return *tid == (int)syscall(SYS_gettid) ? tid : NULL;
}

static long raw_clone(unsigned long flags, int* child_tid) {
#if defined(__x86_64__)
  return syscall(SYS_clone, flags, NULL, NULL, child_tid, 0UL);
#elif defined(__aarch64__) || defined(__riscv)
  return syscall(SYS_clone, flags, NULL, NULL, 0UL, child_tid);
#else
#error "the order of clone's arguments on this architecture is not known here"
#endif
}

int clone_beside(void) {
  // The child is to be reaped by PID 1, not by the zygote. fork() of the C library cannot do that;
  // what it does besides is done here: the number of the thread, and the robust list, which the
  // kernel forgets in a child.
  int* tid = library_tid();
  void* robust_list = NULL;
  size_t robust_bytes = 0;
  const long robust = syscall(SYS_get_robust_list, 0, &robust_list, &robust_bytes);
  unsigned long flags = CLONE_PARENT | SIGCHLD;
  if (tid != NULL) flags |= CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID;
  const long pid = raw_clone(flags, tid);
  if (pid < 0) return -errno;
  if (pid == 0 && robust == 0 && robust_list != NULL) {
    syscall(SYS_set_robust_list, robust_list, robust_bytes);
  }
  return (int)pid;
}

void become_child(const struct fork_order* order, int fork_socket, int channel) {
  if (dup3(order->channel, channel, O_CLOEXEC) < 0 || dup2(order->out, STDOUT_FILENO) < 0 ||
      dup2(order->err, STDERR_FILENO) < 0) {
    _exit(kExitNoChild);
  }
  close_order(order);
  close(fork_socket);
  // Its own session: a signal to "my group" stays in this call. Die with PID 1, unreadable for
  // other processes.
  if (setsid() < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || prctl(PR_SET_DUMPABLE, 0) != 0) {
    _exit(kExitNoChild);
  }
}
