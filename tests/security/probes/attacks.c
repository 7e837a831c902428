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
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
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

// On the init of the process' own namespace.
static int done(long result) { return result < 0 ? errno : 0; }
static int kill_init(void) { return done(kill(1, SIGKILL)); }
static int stop_init(void) { return done(kill(1, SIGSTOP)); }
static int signal_thread_of_init(void) { return done(syscall(SYS_tgkill, 1, 1, SIGUSR1)); }
static int trace_init(void) { return done(ptrace(PTRACE_SEIZE, 1, NULL, NULL)); }
static int slow_down_init(void) { return done(setpriority(PRIO_PROCESS, 1, 19)); }

static int handle_on_init(void) { return (int)syscall(SYS_pidfd_open, 1, 0); }
static int signal_init_by_handle(void) {
  int init = handle_on_init();
  return init < 0 ? errno : done(syscall(SYS_pidfd_send_signal, init, SIGUSR1, NULL, 0));
}

// The call itself, should a handle come by another way; the twin needs the handle.
static int take_descriptor_of_init(void) {
  return done(syscall(SYS_pidfd_getfd, handle_on_init(), 0, 0));
}

// Nothing lies at that address: that init was asked at all is what it tries for.
static int access_memory_of_init(long number) {
  char byte = 0;
  struct iovec here = {&byte, 1}, there = {(void *)8, 1};
  return syscall(number, 1, &here, 1, &there, 1, 0) < 0 && errno != EFAULT ? errno : 0;
}
static int read_memory_of_init(void) { return access_memory_of_init(SYS_process_vm_readv); }
static int write_memory_of_init(void) { return access_memory_of_init(SYS_process_vm_writev); }

// Init made both ends of the channel, so the socket gives a handle on it. Outside there is none.
static int signal_init_by_channel(void) {
  int pair[2], peer = -1, channel = 3;
  socklen_t size = sizeof peer;
  struct stat found;
  if (fstat(channel, &found) < 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0)
    channel = pair[0];
  const int peer_handle = 77;  // SO_PEERPIDFD
  if (getsockopt(channel, SOL_SOCKET, peer_handle, &peer, &size) < 0) return errno;
  return done(syscall(SYS_pidfd_send_signal, peer, SIGURG, NULL, 0));
}

#define OPEN_OF_INIT(name) \
  static int open_##name##_of_init(void) { return done(open("/proc/1/" #name, O_RDONLY)); }
OPEN_OF_INIT(mem)
OPEN_OF_INIT(maps)
OPEN_OF_INIT(exe)
OPEN_OF_INIT(fd)
OPEN_OF_INIT(root)
OPEN_OF_INIT(environ)

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
    {"kill_init", kill_init},
    {"stop_init", stop_init},
    {"signal_thread_of_init", signal_thread_of_init},
    {"trace_init", trace_init},
    {"slow_down_init", slow_down_init},
    {"signal_init_by_handle", signal_init_by_handle},
    {"take_descriptor_of_init", take_descriptor_of_init},
    {"read_memory_of_init", read_memory_of_init},
    {"write_memory_of_init", write_memory_of_init},
    {"signal_init_by_channel", signal_init_by_channel},
    {"open_mem_of_init", open_mem_of_init},
    {"open_maps_of_init", open_maps_of_init},
    {"open_exe_of_init", open_exe_of_init},
    {"open_fd_of_init", open_fd_of_init},
    {"open_root_of_init", open_root_of_init},
    {"open_environ_of_init", open_environ_of_init},
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
