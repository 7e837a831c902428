// SPDX-License-Identifier: Apache-2.0
// Attempts that need machine code. A function when built with INSIDE, else a program that makes the
// one attempt that its argument names. Each returns 0 when it worked, else the error.
#ifdef INSIDE
#include <hearth.h>
#endif

#include <asm/ldt.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static long plain_call(long number, long a, long b, long c) {
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c)
                   : "rcx", "r11", "memory");
  return result;
}

// The i386 entry has other numbers: 20 is getpid, 21 is mount.
static int enter_as_i386(void) {
  long result = 20;
  __asm__ volatile("int $0x80" : "+a"(result) : : "r8", "r9", "r10", "r11", "memory");
  return result > 0 ? 0 : (int)-result;
}

static int mount_as_i386(void) {
  long result = 21;
  __asm__ volatile("int $0x80" : "+a"(result) : "b"(0L), "c"(0L), "d"(0L)
                   : "r8", "r9", "r10", "r11", "memory");
  return result == -EPERM || result == -ENOSYS ? (int)-result : 0;
}

// x32 numbers have a bit of their own. That the program lives on is what it tries for.
static int enter_as_x32(void) {
  plain_call(0x40000000 + 39, 0, 0, 0);
  return 0;
}

// Numbers and flags are 32 bits wide for the kernel; the rest must not lead past the filter.
static int unshare_with_high_bits(void) {
  long result = plain_call((1L << 32) + SYS_unshare, CLONE_NEWUTS, 0, 0);
  return result < 0 ? (int)-result : 0;
}

static int flags_with_high_bits(void) {
  long pid = syscall(SYS_clone, (1L << 32) + CLONE_NEWUSER + SIGCHLD, 0, 0, 0, 0);
  if (pid == 0) _exit(0);
  if (pid > 0) waitpid((pid_t)pid, NULL, 0);
  return pid < 0 ? errno : 0;
}

static int local_descriptors(void) {
  struct user_desc entry = {.entry_number = 0, .limit = 0xfffff, .seg_32bit = 1,
                            .limit_in_pages = 1};
  return syscall(SYS_modify_ldt, 1, &entry, sizeof entry) < 0 ? errno : 0;
}

static int input_output_level(void) { return syscall(SYS_iopl, 3) < 0 ? errno : 0; }

static int input_output_ports(void) { return syscall(SYS_ioperm, 0x80, 1, 1) < 0 ? errno : 0; }

// A page at address 0 turns a kernel's use of a null pointer into one of the user's memory.
static int map_page_zero(void) {
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
  void *page = mmap(0, 4096, PROT_READ | PROT_WRITE, flags, -1, 0);
  return page == MAP_FAILED ? errno : 0;
}

// The C library makes threads with clone3; whoever asks for a namespace among its flags is refused.
static int clone3_into_network(void) {
  struct clone_args arguments = {.flags = CLONE_NEWUSER | CLONE_NEWNET, .exit_signal = SIGCHLD};
  long pid = syscall(SYS_clone3, &arguments, sizeof arguments);
  if (pid == 0) _exit(0);
  if (pid > 0) waitpid((pid_t)pid, NULL, 0);
  return pid < 0 ? errno : 0;
}

static int clone_with_new_time(void) {
  struct clone_args arguments = {.flags = CLONE_NEWUSER | CLONE_NEWTIME, .exit_signal = SIGCHLD};
  long pid = syscall(SYS_clone3, &arguments, sizeof arguments);
  if (pid == 0) _exit(0);
  if (pid > 0) waitpid((pid_t)pid, NULL, 0);
  return pid < 0 ? errno : 0;
}

static const struct {
  const char *name;
  int (*attempt)(void);
} attempts[] = {
    {"enter_as_i386", enter_as_i386},
    {"mount_as_i386", mount_as_i386},
    {"enter_as_x32", enter_as_x32},
    {"unshare_with_high_bits", unshare_with_high_bits},
    {"flags_with_high_bits", flags_with_high_bits},
    {"local_descriptors", local_descriptors},
    {"input_output_level", input_output_level},
    {"input_output_ports", input_output_ports},
    {"map_page_zero", map_page_zero},
    {"clone3_into_network", clone3_into_network},
    {"clone_with_new_time", clone_with_new_time},
};

static const char *answer(const char *name) {
  static char text[128];
  for (size_t i = 0; i < sizeof attempts / sizeof *attempts; ++i) {
    if (strcmp(attempts[i].name, name) != 0) continue;
    int error = attempts[i].attempt();
    snprintf(text, sizeof text, "{\"worked\": %s, \"detail\": \"%s\"}", error ? "false" : "true",
             error ? strerrorname_np(error) : "done");
    return text;
  }
  return "{\"worked\": true, \"detail\": \"no such attempt\"}";
}

#ifdef INSIDE
static int handle(const hearth_event *event, hearth_reply *reply) {
  const char *text = answer(event->body);
  return hearth_body(reply, text, strlen(text));
}
HEARTH_MAIN(handle)
#else
int main(int count, char **arguments) {
  puts(answer(count > 1 ? arguments[1] : ""));
  return 0;
}
#endif
