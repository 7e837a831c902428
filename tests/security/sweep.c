// SPDX-License-Identifier: Apache-2.0
// Makes system calls and tells what came of each: a native function with -DHEARTH_NATIVE, else a
// library with sweep().
//
// A line of the input is `GATE NUMBER A0 A1 A2 A3 A4 A5`, a line of the output one attempt's
// outcome: an error's number, 0, `exits`, `waits`, or `signal N`. Each attempt has a process of its
// own, so that it may end, change or block it.
#define _GNU_SOURCE
#ifdef HEARTH_NATIVE
#include "hearth.h"
#endif
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { kWaitMs = 5000, kPrivate = MAP_PRIVATE | MAP_ANONYMOUS, kOutcomeBytes = 16 };

enum gate {
  kSyscall = 0,
  kSyscallWithoutStack = 1,  // rt_sigreturn would take its registers from it
  kInt80 = 2,
  kSysenter = 3,
  kVsyscall = 4
};

struct attempt {
  long gate, number;
  unsigned long arguments[6];
};

// Shared with the process that makes the attempt.
struct report {
  volatile int done;
  volatile long result;
};

static long raw_syscall(long number, const unsigned long* a) {
  register unsigned long r10 asm("r10") = a[3];
  register unsigned long r8 asm("r8") = a[4];
  register unsigned long r9 asm("r9") = a[5];
  asm volatile("syscall"
               : "+a"(number)
               : "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10), "r"(r8), "r"(r9)
               : "rcx", "r11", "memory");
  return number;
}

static long without_stack(long number) {
  asm volatile("mov $8, %%rsp; syscall; hlt" : "+a"(number) : : "rcx", "r11", "memory");
  return number;
}

static long int80(long number) {
  asm volatile("int $0x80" : "+a"(number) : : "r8", "r9", "r10", "r11", "memory");
  return (int)number;
}

// The kernel takes the sixth argument from a stack below 4 GiB before it asks the filter.
static long sysenter(long number, void* low_stack) {
  asm volatile("push %%rbp; mov %1, %%rbp; sysenter; pop %%rbp"
               : "+a"(number)
               : "r"(low_stack)
               : "rcx", "rdx", "r11", "memory");
  return number;
}

// time(), where old programs expect it whatever the vDSO says.
static long vsyscall(void) {
  long (*time_at)(long*) = (long (*)(long*))(uintptr_t)0xffffffffff600400;
  return time_at(NULL) < 0 ? -1 : 0;
}

static long enter(const struct attempt* a) {
  void* low = NULL;
  switch (a->gate) {
    case kSyscallWithoutStack:
      return without_stack(a->number);
    case kInt80:
      return int80(a->number);
    case kSysenter:
      low = mmap(NULL, 4096, PROT_READ | PROT_WRITE, kPrivate | MAP_32BIT, -1, 0);
      return sysenter(a->number, (char*)low + 2048);
    case kVsyscall:
      return vsyscall();
    default:
      return raw_syscall(a->number, a->arguments);
  }
}

static void leave(void) {
  const unsigned long nothing[6] = {0};
  raw_syscall(SYS_exit_group, nothing);
}

// In a process of its own. What the call forked leaves at once.
static void make(const struct attempt* a, struct report* report) {
  const unsigned long nothing[6] = {0};
  const long self = raw_syscall(SYS_getpid, nothing);
  const long result = enter(a);
  if (raw_syscall(SYS_getpid, nothing) != self) leave();
  report->result = result;
  report->done = 1;
  leave();
}

// Whether the process ended in time.
static int ended(pid_t pid, int* status) {
  struct pollfd wait = {(int)syscall(SYS_pidfd_open, pid, 0), POLLIN, 0};
  const int ready = poll(&wait, 1, kWaitMs);
  close(wait.fd);
  if (ready < 1) kill(pid, SIGKILL);
  waitpid(pid, status, 0);
  return ready == 1;
}

static void attempt(const struct attempt* a, struct report* report, char* outcome) {
  int status = 0;
  report->done = 0;
  const pid_t pid = fork();
  if (pid == 0) make(a, report);
  if (pid < 0) {
    snprintf(outcome, kOutcomeBytes, "no process");
  } else if (!ended(pid, &status)) {
    snprintf(outcome, kOutcomeBytes, "waits");
  } else if (WIFSIGNALED(status)) {
    snprintf(outcome, kOutcomeBytes, "signal %d", WTERMSIG(status));
  } else if (!report->done) {
    snprintf(outcome, kOutcomeBytes, "exits");
  } else {
    const long result = report->result;
    snprintf(outcome, kOutcomeBytes, "%ld", result < 0 && result >= -4095 ? -result : 0);
  }
  // A child of the attempt may be one of ours, by CLONE_PARENT.
  while (waitpid(-1, NULL, WNOHANG) > 0) continue;
}

static const char* parsed(const char* line, struct attempt* a) {
  char* end = NULL;
  a->gate = strtol(line, &end, 0);
  a->number = (long)strtoull(end, &end, 0);
  for (int i = 0; i < 6; ++i) a->arguments[i] = strtoull(end, &end, 0);
  return *end == '\n' ? end + 1 : NULL;
}

// The outcomes of every line of `input`; to be freed. NULL when a line is wrong.
char* sweep(const char* input) {
  struct report* report =
      mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  size_t lines = 0;
  for (const char* c = input; *c != '\0'; ++c) lines += *c == '\n';
  char* output = calloc(lines + 1, kOutcomeBytes + 1);
  if (report == MAP_FAILED || output == NULL) return NULL;
  char* at = output;
  while (input != NULL && *input != '\0') {
    struct attempt a;
    char outcome[kOutcomeBytes];
    input = parsed(input, &a);
    attempt(&a, report, outcome);
    at += sprintf(at, "%s\n", outcome);
  }
  munmap(report, sizeof *report);
  if (input != NULL) return output;
  free(output);
  return NULL;
}

#ifdef HEARTH_NATIVE
static int handle(const hearth_event* event, hearth_reply* reply) {
  char* outcomes = sweep(event->body);
  if (outcomes == NULL) return hearth_fail(reply, "BadLine", "a line of the input is wrong");
  hearth_content_type(reply, "text/plain");
  const int rc = hearth_write(reply, outcomes, strlen(outcomes));
  free(outcomes);
  return rc;
}
HEARTH_MAIN(handle)
#endif
