// SPDX-License-Identifier: Apache-2.0
// The floor of whatever starts a program per call: start it, write a body to it, read its answer to
// the end, reap it; several such loops at once. With --namespaces each program is made by a bare
// clone3 with the seven namespaces that a sandbox of Hearth has: no mounts, no limits, no filter.
//
// Usage: start_loop [--namespaces] LOOPS SECONDS BODY PROGRAM [ARGUMENT...]
// Prints the number of starts, and the median of their times in microseconds.
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { kTimesMax = 1 << 20 };

static uint64_t now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void must(int good, const char* what) {
  if (good) return;
  perror(what);
  _exit(1);
}

// A copy of this process, in namespaces of its own, that becomes the program.
static pid_t start_inside(int in, int out, char** program) {
  struct clone_args arguments = {
      .flags = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC |
               CLONE_NEWUTS | CLONE_NEWCGROUP,
      .exit_signal = SIGCHLD,
  };
  pid_t pid = (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);
  if (pid == 0) {
    dup2(in, 0);
    dup2(out, 1);
    execv(program[0], program);
    _exit(127);
  }
  return pid;
}

static pid_t start(int in, int out, char** program) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in, 0);
  posix_spawn_file_actions_adddup2(&actions, out, 1);
  pid_t pid = -1;
  int error = posix_spawn(&pid, program[0], &actions, NULL, program, environ);
  posix_spawn_file_actions_destroy(&actions);
  errno = error;
  return error == 0 ? pid : -1;
}

static void cycle(int namespaces, const char* body, char** program) {
  int in[2], out[2];
  must(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0, "pipe");
  pid_t pid = (namespaces ? start_inside : start)(in[0], out[1], program);
  must(pid > 0, "start");
  close(in[0]);
  close(out[1]);
  size_t size = strlen(body);
  if (size != 0) (void)!write(in[1], body, size);
  close(in[1]);
  static char answer[65536];
  while (read(out[0], answer, sizeof answer) > 0) {
  }
  close(out[0]);
  int status = 0;
  must(waitpid(pid, &status, 0) == pid && status == 0, program[0]);
}

static int by_time(const void* a, const void* b) {
  uint32_t x = *(const uint32_t*)a, y = *(const uint32_t*)b;
  return (x > y) - (x < y);
}

int main(int argc, char** argv) {
  int namespaces = argc > 1 && strcmp(argv[1], "--namespaces") == 0;
  argv += namespaces;
  argc -= namespaces;
  if (argc < 5) return 2;
  signal(SIGPIPE, SIG_IGN);
  int loops = atoi(argv[1]);
  uint64_t end = now_ns() + (uint64_t)(atof(argv[2]) * 1e9);
  // What all loops write: how many times there are, and the times in microseconds.
  uint32_t* times = mmap(NULL, (kTimesMax + 1) * sizeof *times, PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  must(times != MAP_FAILED, "mmap");
  for (int i = 0; i < loops; i++) {
    if (fork() != 0) continue;
    for (uint64_t begin = now_ns(); begin < end;) {
      cycle(namespaces, argv[3], argv + 4);
      uint64_t done = now_ns();
      uint32_t at = __atomic_fetch_add(&times[kTimesMax], 1, __ATOMIC_RELAXED);
      if (at < kTimesMax) times[at] = (uint32_t)((done - begin) / 1000);
      begin = done;
    }
    _exit(0);
  }
  int status = 0, failed = 0;
  while (wait(&status) > 0) failed |= status;
  uint32_t count = times[kTimesMax];
  if (failed || count == 0 || count > kTimesMax) return 1;
  qsort(times, count, sizeof *times, by_time);
  printf("%u %u\n", count, times[count / 2]);
  return 0;
}
