// SPDX-License-Identifier: Apache-2.0
#include "sandbox/init/policy.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <cerrno>
#include <initializer_list>
#include <string_view>

namespace hearth::sandbox::init::policy {
namespace {

constexpr uint32_t kTypeMask = ~uint32_t(SOCK_CLOEXEC | SOCK_NONBLOCK);
constexpr uint32_t kSocketTypeBits = 0xf;
// CLONE_NEWNS, CGROUP, UTS, IPC, USER, PID, NET; and CLONE_NEWTIME, which only clone3 takes.
constexpr uint32_t kNamespaceFlags = 0x7e020080;
constexpr uint32_t kNotifyListener = SECCOMP_FILTER_FLAG_NEW_LISTENER;
constexpr uint32_t kCollapse = 25;  // MADV_COLLAPSE, which C libraries lack that know the others

std::vector<Rule> names(std::initializer_list<std::string_view> list) {
  std::vector<Rule> rules;
  for (std::string_view name : list) rules.push_back({std::string(name), {}});
  return rules;
}

// `name` with the argument `index` equal to one of `values`.
void add_choices(std::vector<Rule>& rules, std::string_view name, unsigned index,
                 std::initializer_list<uint32_t> values) {
  for (uint32_t value : values) rules.push_back({std::string(name), {is(index, value)}});
}

std::vector<Rule> choices(std::string_view name, unsigned index,
                          std::initializer_list<uint32_t> values) {
  std::vector<Rule> rules;
  add_choices(rules, name, index, values);
  return rules;
}

// Signals to `pid`, or a handle to send them with. -1 is everybody at once.
void add_signals_to(std::vector<Rule>& rules, uint32_t pid) {
  for (const char* name :
       {"kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_open"})
    rules.push_back({name, {is(0, pid)}});
}

std::vector<Rule> signals_to_others(Program program) {
  std::vector<Rule> rules;
  add_signals_to(rules, 1);
  rules.push_back({"kill", {is(0, uint32_t(-1))}});
  if (program == Program::kZygote) {
    add_signals_to(rules, 2);
    rules.push_back({"kill", {is(0, uint32_t(-2))}});  // the zygote's process group
    // A descriptor names no process that a filter could see, and a socket that the module made at
    // import gives a call one of the zygote: SO_PEERPIDFD.
    rules.push_back({"pidfd_send_signal", {}});
  }
  return rules;
}

// Limits and scheduling of `pid`.
void add_settings_of(std::vector<Rule>& rules, uint32_t pid) {
  for (const char* name :
       {"prlimit64", "sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler"})
    rules.push_back({name, {is(0, pid)}});
  for (const char* name : {"setpriority", "ioprio_set"}) rules.push_back({name, {is(1, pid)}});
}

std::vector<Rule> settings_of_others(Program program) {
  std::vector<Rule> rules;
  add_settings_of(rules, 1);
  if (program == Program::kZygote) add_settings_of(rules, 2);
  return rules;
}

std::vector<Rule> raw_sockets() {
  std::vector<Rule> rules;
  for (uint32_t family : {AF_INET, AF_INET6})
    for (uint32_t type : {SOCK_RAW, SOCK_PACKET})
      rules.push_back({"socket", {is(0, family), has(1, kSocketTypeBits, type)}});
  return rules;
}

std::vector<Rule> socket_families() {
  std::vector<Rule> rules;
  for (uint32_t type : {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET}) {
    rules.push_back({"socket", {is(0, AF_UNIX), has(1, kTypeMask, type)}});
    rules.push_back({"socketpair", {is(0, AF_UNIX), has(1, kTypeMask, type)}});
  }
  for (uint32_t family : {AF_INET, AF_INET6}) {
    for (uint32_t protocol : {0, int(IPPROTO_TCP)})
      rules.push_back({"socket", {is(0, family), has(1, kTypeMask, SOCK_STREAM), is(2, protocol)}});
    for (uint32_t protocol : {0, int(IPPROTO_UDP)})
      rules.push_back({"socket", {is(0, family), has(1, kTypeMask, SOCK_DGRAM), is(2, protocol)}});
  }
  rules.push_back({"socket", {is(0, AF_NETLINK), is(2, 0)}});
  return rules;
}

std::vector<Rule> scheduling() {
  std::vector<Rule> rules = names(
      {"prlimit64", "sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler"});
  rules.push_back({"setpriority", {is(0, 0)}});  // PRIO_PROCESS
  rules.push_back({"ioprio_set", {is(0, 1)}});   // IOPRIO_WHO_PROCESS
  return rules;
}

std::vector<Rule> fcntl_commands() {
  std::vector<Rule> rules = choices(
      "fcntl", 1,
      {F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETLK, F_SETLK, F_SETLKW});
  add_choices(rules, "fcntl", 1,
              {F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW, F_GETOWN, F_GETOWN_EX, F_GETSIG,
               F_GETPIPE_SZ, F_SETPIPE_SZ, F_ADD_SEALS, F_GET_SEALS, F_GETLEASE});
  return rules;
}

std::vector<Rule> ioctl_requests() {
  std::vector<Rule> rules = choices("ioctl", 1,
                                    {FIONREAD, FIONBIO, FIOCLEX, FIONCLEX, FIOQSIZE, TCGETS,
                                     TIOCGWINSZ, TIOCOUTQ, FICLONE, FS_IOC_GETFLAGS});
  add_choices(rules, "ioctl", 1,
              {SIOCGIFNAME, SIOCGIFCONF, SIOCGIFFLAGS, SIOCGIFADDR, SIOCGIFBRDADDR, SIOCGIFNETMASK,
               SIOCGIFMTU, SIOCGIFHWADDR, SIOCGIFINDEX});
  return rules;
}

std::vector<Rule> prctl_options() {
  std::vector<Rule> rules = choices(
      "prctl", 0,
      {PR_SET_NAME, PR_SET_VMA, PR_SET_DUMPABLE, PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS,
       PR_SET_THP_DISABLE, PR_SET_SECCOMP, PR_SET_TIMERSLACK, PR_CAPBSET_READ, PR_CAP_AMBIENT});
  add_choices(
      rules, "prctl", 0,
      {PR_GET_NAME, PR_GET_DUMPABLE, PR_GET_PDEATHSIG, PR_GET_NO_NEW_PRIVS, PR_GET_THP_DISABLE,
       PR_GET_SECCOMP, PR_GET_TIMERSLACK, PR_GET_KEEPCAPS, PR_GET_SECUREBITS, PR_GET_TIMING,
       PR_GET_CHILD_SUBREAPER, PR_GET_TID_ADDRESS, PR_GET_SPECULATION_CTRL});
  return rules;
}

void add_options(std::vector<Rule>& rules, uint32_t level,
                 std::initializer_list<uint32_t> options) {
  for (uint32_t option : options) rules.push_back({"setsockopt", {is(1, level), is(2, option)}});
}

std::vector<Rule> socket_options() {
  std::vector<Rule> rules;
  add_options(rules, SOL_SOCKET,
              {SO_REUSEADDR, SO_REUSEPORT, SO_KEEPALIVE, SO_BROADCAST, SO_LINGER, SO_PASSCRED,
               SO_SNDBUF, SO_RCVBUF, SO_RCVLOWAT, SO_SNDTIMEO, SO_RCVTIMEO});
  add_options(rules, IPPROTO_TCP,
              {TCP_NODELAY, TCP_CORK, TCP_QUICKACK, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT,
               TCP_USER_TIMEOUT, TCP_SYNCNT, TCP_LINGER2, TCP_DEFER_ACCEPT, TCP_MAXSEG,
               TCP_WINDOW_CLAMP, TCP_NOTSENT_LOWAT});
  add_options(rules, IPPROTO_IP,
              {IP_TOS, IP_TTL, IP_RECVTOS, IP_RECVTTL, IP_PKTINFO, IP_RECVERR, IP_MTU_DISCOVER,
               IP_BIND_ADDRESS_NO_PORT, IP_MULTICAST_IF, IP_MULTICAST_TTL, IP_MULTICAST_LOOP,
               IP_MULTICAST_ALL});
  add_options(rules, IPPROTO_IPV6,
              {IPV6_V6ONLY, IPV6_TCLASS, IPV6_UNICAST_HOPS, IPV6_RECVTCLASS, IPV6_RECVHOPLIMIT,
               IPV6_RECVPKTINFO, IPV6_RECVERR, IPV6_MTU_DISCOVER, IPV6_DONTFRAG, IPV6_MULTICAST_IF,
               IPV6_MULTICAST_HOPS, IPV6_MULTICAST_LOOP, IPV6_MULTICAST_ALL});
  return rules;
}

std::vector<Rule> memory_advice() {
  std::vector<Rule> rules =
      choices("madvise", 2,
              {MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_DONTNEED, MADV_FREE, MADV_REMOVE,
               MADV_HUGEPAGE, MADV_NOHUGEPAGE, kCollapse});
  add_choices(rules, "madvise", 2,
              {MADV_DONTFORK, MADV_DOFORK, MADV_WIPEONFORK, MADV_KEEPONFORK, MADV_DONTDUMP,
               MADV_DODUMP, MADV_POPULATE_READ, MADV_POPULATE_WRITE});
  return rules;
}

std::vector<Rule> urgent_data() {
  return {{"sendto", {has(3, MSG_OOB, MSG_OOB)}},
          {"sendmsg", {has(2, MSG_OOB, MSG_OOB)}},
          {"sendmmsg", {has(3, MSG_OOB, MSG_OOB)}}};
}

std::vector<Group> allowed_everywhere() {
  return {
      {"bytes in and out of what is open", SCMP_ACT_ALLOW,
       names({"read", "write", "readv", "writev", "pread64", "pwrite64", "preadv", "pwritev",
              "lseek", "close", "close_range", "dup", "dup2", "dup3", "pipe", "pipe2",
              "copy_file_range"})},
      {"hints about bytes", SCMP_ACT_ALLOW, names({"fadvise64", "sync_file_range"})},
      {"waiting for events", SCMP_ACT_ALLOW,
       names({"poll", "ppoll", "select", "pselect6", "epoll_create", "epoll_create1", "epoll_ctl",
              "epoll_ctl_old", "epoll_wait", "epoll_wait_old", "epoll_pwait", "epoll_pwait2",
              "eventfd", "eventfd2", "timerfd_create", "timerfd_settime", "timerfd_gettime",
              "signalfd", "signalfd4"})},
      {"memory, with what just-in-time compilers need", SCMP_ACT_ALLOW,
       names({"mmap", "mprotect", "munmap", "mremap", "brk", "msync", "mincore", "mlock", "mlock2",
              "munlock", "mlockall", "munlockall", "membarrier", "memfd_create", "pkey_alloc",
              "pkey_free", "pkey_mprotect", "get_mempolicy"})},
      {"threads", SCMP_ACT_ALLOW,
       names({"futex", "futex_waitv", "set_robust_list", "get_robust_list", "set_tid_address",
              "rseq", "gettid", "arch_prctl", "set_thread_area", "get_thread_area",
              "restart_syscall", "sched_yield", "getcpu"})},
      {"processes of its own", SCMP_ACT_ALLOW,
       names({"fork",   "vfork",  "execve",  "execveat", "exit",    "exit_group", "wait4",
              "waitid", "getpid", "getppid", "getpgid",  "getpgrp", "setpgid",    "getsid",
              "setsid", "chdir",  "fchdir",  "getcwd",   "umask",   "pause",      "alarm"})},
      {"looking at and giving up its own rights", SCMP_ACT_ALLOW,
       names({"getuid",
              "geteuid",
              "getgid",
              "getegid",
              "getresuid",
              "getresgid",
              "getgroups",
              "setuid",
              "setgid",
              "setreuid",
              "setregid",
              "setresuid",
              "setresgid",
              "setfsuid",
              "setfsgid",
              "setgroups",
              "capget",
              "capset",
              "seccomp",
              "landlock_create_ruleset",
              "landlock_add_rule",
              "landlock_restrict_self"})},
      {"looking at its limits and at the host's load", SCMP_ACT_ALLOW,
       names({"getrlimit", "setrlimit", "getrusage", "times", "getpriority", "ioprio_get",
              "sched_getaffinity", "sched_getattr", "sched_getparam", "sched_getscheduler",
              "sched_get_priority_max", "sched_get_priority_min", "sched_rr_get_interval", "uname",
              "sysinfo"})},
      {"signals; whom they may reach is refused first", SCMP_ACT_ALLOW,
       names({"rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigpending", "rt_sigsuspend",
              "rt_sigtimedwait", "sigaltstack", "kill", "tkill", "tgkill", "rt_sigqueueinfo",
              "rt_tgsigqueueinfo", "pidfd_open", "pidfd_send_signal"})},
      {"clocks and timers, never setting the host's", SCMP_ACT_ALLOW,
       names({"clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday",
              "time", "getitimer", "setitimer", "timer_create", "timer_settime", "timer_gettime",
              "timer_getoverrun", "timer_delete", "getrandom"})},
  };
}

std::vector<Group> allowed_on_files_and_sockets() {
  return {
      {"files; what is there to open is the mount namespace's matter", SCMP_ACT_ALLOW,
       names({"open",     "openat",     "creat",      "stat",      "fstat",
              "lstat",    "newfstatat", "statx",      "statfs",    "fstatfs",
              "access",   "faccessat",  "faccessat2", "readlink",  "readlinkat",
              "getdents", "getdents64", "truncate",   "ftruncate", "fallocate",
              "flock",    "utime",      "utimes",     "futimesat", "utimensat"})},
      {"names of files", SCMP_ACT_ALLOW,
       names({"rename", "renameat", "renameat2", "unlink",  "unlinkat",  "mkdir",  "mkdirat",
              "rmdir",  "link",     "linkat",    "symlink", "symlinkat", "mknod",  "mknodat",
              "chmod",  "fchmod",   "fchmodat",  "chown",   "fchown",    "lchown", "fchownat"})},
      {"extended attributes, for tools that copy files", SCMP_ACT_ALLOW,
       names({"getxattr", "lgetxattr", "fgetxattr", "listxattr", "llistxattr", "flistxattr",
              "setxattr", "lsetxattr", "fsetxattr", "removexattr", "lremovexattr",
              "fremovexattr"})},
      {"sockets that are open", SCMP_ACT_ALLOW,
       names({"bind", "connect", "listen", "accept", "accept4", "getsockname", "getpeername",
              "getsockopt", "sendto", "recvfrom", "sendmsg", "recvmsg", "sendmmsg", "recvmmsg",
              "shutdown"})},
      {"new sockets: Unix, TCP, UDP by equality, and rtnetlink, which getifaddrs needs and which "
       "shows only the sandbox's own loopback",
       SCMP_ACT_ALLOW, socket_families()},
  };
}

}  // namespace

std::vector<Group> refused(Program program) {
  return {
      {"init, and the zygote, serve every call: a call must not stop or kill them",
       SCMP_ACT_ERRNO(EPERM), signals_to_others(program)},
      {"nor may it change how they are scheduled and what they may use: the next call inherits it",
       SCMP_ACT_ERRNO(EPERM), settings_of_others(program)},
      {"raw sockets reach below the protocols", SCMP_ACT_ERRNO(EPERM), raw_sockets()},
      {"a supervisor of system calls is more kernel than a function needs",
       SCMP_ACT_ERRNO(EPERM),
       {{"seccomp", {has(1, kNotifyListener, kNotifyListener)}}}},
      {"the image's page cache is everybody's: a hint may not empty it, and may be ignored",
       SCMP_ACT_ERRNO(0),
       {{"fadvise64", {is(3, POSIX_FADV_DONTNEED)}}}},
      {"nor may a hint ask for pages in advance: they are locked for all who share them until they "
       "are read, and whose reads are held back could lock as many as its memory holds",
       SCMP_ACT_ERRNO(0),
       {{"fadvise64", {is(3, POSIX_FADV_WILLNEED)}},
        {"madvise", {is(2, MADV_WILLNEED)}},
        {"readahead", {}}}},
      {"the limit on core dumps: at 1 no program of the host is started for a crash, at 0 one is",
       SCMP_ACT_ERRNO(EPERM),
       {{"setrlimit", {is(0, RLIMIT_CORE)}}, {"prlimit64", {is(1, RLIMIT_CORE), given(2)}}}},
      {"urgent data, which Unix sockets had no need of: it was a way into the kernel's memory",
       SCMP_ACT_ERRNO(EOPNOTSUPP), urgent_data()},
  };
}

std::vector<Group> allowed() {
  std::vector<Group> groups = allowed_everywhere();
  for (Group& group : allowed_on_files_and_sockets()) groups.push_back(std::move(group));
  groups.insert(
      groups.end(),
      {
          {"processes and threads, in no other namespace",
           SCMP_ACT_ALLOW,
           {{"clone", {has(0, kNamespaceFlags, 0)}}}},
          {"limits and priorities of one process, by its id too, as libraries name their own "
           "threads; of a group or a user never: the zygote has the same user id",
           SCMP_ACT_ALLOW, scheduling()},
          {"no signals by descriptor (F_SETOWN, F_SETSIG reach the zygote), no leases or notices "
           "on inodes that sandboxes share",
           SCMP_ACT_ALLOW, fcntl_commands()},
          {"no terminal, no device, no flags on inodes", SCMP_ACT_ALLOW, ioctl_requests()},
          {"no subreaper (orphans must reach init), no new memory layout", SCMP_ACT_ALLOW,
           prctl_options()},
          {"what programs tune on sockets; no filters, no tables of rules, no groups, no protocol "
           "on top of TCP or in UDP",
           SCMP_ACT_ALLOW, socket_options()},
          {"advice on its own memory; its pages are not merged, those of files not sent away",
           SCMP_ACT_ALLOW, memory_advice()},
          {"reads and writes without flags",
           SCMP_ACT_ALLOW,
           {{"preadv2", {is(5, 0)}}, {"pwritev2", {is(5, 0)}}}},
          {"harmless personalities; ADDR_NO_RANDOMIZE (0x40000) is not", SCMP_ACT_ALLOW,
           choices("personality", 0, {0, 0x8, 0x20000, 0x20008, 0xffffffff})},
      });
  return groups;
}

std::vector<Group> errors() {
  return {
      {"their flags are behind a pointer, which no filter can follow, and callers fall back to "
       "clone and openat; openat2 tells in one call which names of the image are cached",
       SCMP_ACT_ERRNO(ENOSYS), names({"clone3", "openat2"})},
      {"callers fall back to read and write on this error; pages of the shared page cache must "
       "not get into pipes and sockets, where sendfile puts them too",
       SCMP_ACT_ERRNO(EINVAL), names({"splice", "tee", "vmsplice", "sendfile"})},
      {"unknown commands, as the kernel answers them", SCMP_ACT_ERRNO(EINVAL),
       names({"fcntl", "prctl", "personality", "madvise"})},
      {"unknown options, as the kernel answers them", SCMP_ACT_ERRNO(ENOPROTOOPT),
       names({"setsockopt"})},
      {"unknown flags, as the kernel answers them: RWF_NOWAIT tells in one call which pages of the "
       "image are cached, RWF_DONTCACHE sends them away",
       SCMP_ACT_ERRNO(EOPNOTSUPP), names({"preadv2", "pwritev2"})},
      {"unknown requests, as the kernel answers them", SCMP_ACT_ERRNO(ENOTTY), names({"ioctl"})},
      {"families that do not exist here", SCMP_ACT_ERRNO(EAFNOSUPPORT),
       names({"socket", "socketpair"})},
      {"nothing in a sandbox outlives it: nothing to write back, and the host's disks are not its "
       "business: fsync of a file that is only readable empties their write cache",
       SCMP_ACT_ERRNO(0), names({"sync", "syncfs", "fsync", "fdatasync"})},
  };
}

}  // namespace hearth::sandbox::init::policy
