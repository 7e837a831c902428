// SPDX-License-Identifier: Apache-2.0
// The system call filter, by calling: in a forked child with the filter, and, to show that the
// filter makes the difference, in one without. As root, so that no other EPERM looks like the
// filter's.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/if_packet.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <map>
#include <string>

#include "filter_run.h"

namespace hearth::sandbox {
namespace {

constexpr uint64_t kNobody = 0x7fffffff;  // a process id that no process has
constexpr uint64_t kNoFd = ~uint64_t(0);
constexpr uint64_t kHighBits = uint64_t(0xdead) << 32;  // which the kernel drops from an int
constexpr uint64_t kAll = ~uint64_t(0);

struct Denied {
  Call call;
  int error;
};

// Refused by both filters with `error`, otherwise answered without them.
const Denied kDenied[] = {
    // Namespaces and mounts.
    {{"clone NEWUSER", SYS_clone, {CLONE_NEWUSER | SIGCHLD}}, EPERM},
    {{"clone NEWNS", SYS_clone, {CLONE_NEWNS | SIGCHLD}}, EPERM},
    {{"clone NEWPID", SYS_clone, {CLONE_NEWPID | SIGCHLD}}, EPERM},
    {{"clone NEWNET", SYS_clone, {CLONE_NEWNET | SIGCHLD}}, EPERM},
    {{"clone NEWCGROUP", SYS_clone, {CLONE_NEWCGROUP | SIGCHLD}}, EPERM},
    {{"clone3", SYS_clone3, {0, 0}}, ENOSYS},
    {{"openat2", SYS_openat2, {kNoFd, 0, 0, 0}}, ENOSYS},
    {{"unshare nothing", SYS_unshare, {0}}, EPERM},
    {{"unshare NEWUSER", SYS_unshare, {CLONE_NEWUSER}}, EPERM},
    {{"setns", SYS_setns, {kNoFd, 0}}, EPERM},
    {{"mount", SYS_mount, {0, 0, 0, 0, 0}}, EPERM},
    {{"umount2", SYS_umount2, {0, 0}}, EPERM},
    {{"pivot_root", SYS_pivot_root, {0, 0}}, EPERM},
    {{"chroot", SYS_chroot, {0}}, EPERM},
    {{"open_tree", SYS_open_tree, {kNoFd, 0, 0}}, EPERM},
    {{"move_mount", SYS_move_mount, {kNoFd, 0, kNoFd, 0, 0}}, EPERM},
    {{"fsopen", SYS_fsopen, {0, 0}}, EPERM},
    {{"fsconfig", SYS_fsconfig, {kNoFd, 0, 0, 0, 0}}, EPERM},
    {{"fsmount", SYS_fsmount, {kNoFd, 0, 0}}, EPERM},
    {{"fspick", SYS_fspick, {kNoFd, 0, 0}}, EPERM},
    {{"mount_setattr", SYS_mount_setattr, {kNoFd, 0, 0, 0, 0}}, EPERM},
    // Other processes.
    {{"ptrace", SYS_ptrace, {1, kNobody, 0, 0}}, EPERM},
    {{"process_vm_readv", SYS_process_vm_readv, {kNobody, 0, 0, 0, 0, 0}}, EPERM},
    {{"process_vm_writev", SYS_process_vm_writev, {kNobody, 0, 0, 0, 0, 0}}, EPERM},
    {{"process_madvise", SYS_process_madvise, {kNoFd, 0, 0, 0, 0}}, EPERM},
    {{"process_mrelease", SYS_process_mrelease, {kNoFd, 0}}, EPERM},
    {{"pidfd_getfd", SYS_pidfd_getfd, {kNoFd, 0, 0}}, EPERM},
    {{"kcmp", SYS_kcmp, {kNobody, kNobody, 0, 0, 0}}, EPERM},
    {{"migrate_pages", SYS_migrate_pages, {kNobody, 0, 0, 0}}, EPERM},
    {{"move_pages", SYS_move_pages, {kNobody, 0, 0, 0, 0, 0}}, EPERM},
    {{"prlimit64 of init", SYS_prlimit64, {1, 99, 0, 0}}, EPERM},
    {{"setrlimit of core dumps", SYS_setrlimit, {RLIMIT_CORE, 1}}, EPERM},
    {{"setrlimit of core dumps, high bits", SYS_setrlimit, {kHighBits | RLIMIT_CORE, 1}}, EPERM},
    {{"prlimit64 of core dumps", SYS_prlimit64, {0, RLIMIT_CORE, 1, 0}}, EPERM},
    {{"the same, from far up", SYS_prlimit64, {0, RLIMIT_CORE, 1l << 32, 0}}, EPERM},
    {{"sched_setaffinity of init", SYS_sched_setaffinity, {1, 0, 0}}, EPERM},
    {{"sched_setattr of init", SYS_sched_setattr, {1, 0, 0}}, EPERM},
    {{"sched_setparam of init", SYS_sched_setparam, {1, 0}}, EPERM},
    {{"sched_setscheduler of init", SYS_sched_setscheduler, {1, kAll, 0}}, EPERM},
    {{"ioprio_set of init", SYS_ioprio_set, {1, 1, kAll}}, EPERM},
    {{"setpriority of a user", SYS_setpriority, {2, kNobody, 0}}, EPERM},
    {{"setpriority of a group", SYS_setpriority, {1, kNobody, 0}}, EPERM},
    {{"ioprio_set of a user", SYS_ioprio_set, {3, kNobody, 0}}, EPERM},
    {{"kill init", SYS_kill, {1, 0}}, EPERM},
    {{"kill init, with bits the kernel drops", SYS_kill, {kHighBits | 1, 0}}, EPERM},
    {{"kill everybody", SYS_kill, {kAll, 0}}, EPERM},
    {{"kill everybody, as 32 bits", SYS_kill, {0xffffffff, 0}}, EPERM},
    {{"tkill init", SYS_tkill, {1, 0}}, EPERM},
    {{"tgkill init", SYS_tgkill, {1, 1, 0}}, EPERM},
    {{"rt_sigqueueinfo to init", SYS_rt_sigqueueinfo, {1, 0, 0}}, EPERM},
    {{"rt_tgsigqueueinfo to init", SYS_rt_tgsigqueueinfo, {1, 1, 0, 0}}, EPERM},
    {{"pidfd_open of init", SYS_pidfd_open, {1, 0}}, EPERM},
    {{"fcntl F_SETOWN", SYS_fcntl, {kNoFd, F_SETOWN, 2}}, EINVAL},
    {{"fcntl F_SETOWN_EX", SYS_fcntl, {kNoFd, F_SETOWN_EX, 0}}, EINVAL},
    {{"fcntl F_SETSIG", SYS_fcntl, {kNoFd, F_SETSIG, SIGSTOP}}, EINVAL},
    {{"fcntl F_SETSIG, high bits", SYS_fcntl, {kNoFd, kHighBits | F_SETSIG, 9}}, EINVAL},
    {{"prctl SET_CHILD_SUBREAPER", SYS_prctl, {PR_SET_CHILD_SUBREAPER, 1}}, EINVAL},
    // What sandboxes share.
    {{"fcntl F_SETLEASE", SYS_fcntl, {kNoFd, F_SETLEASE, F_RDLCK}}, EINVAL},
    {{"fcntl F_NOTIFY", SYS_fcntl, {kNoFd, F_NOTIFY, 0}}, EINVAL},
    {{"inotify_init1", SYS_inotify_init1, {0}}, EPERM},
    {{"inotify_add_watch", SYS_inotify_add_watch, {kNoFd, 0, 0}}, EPERM},
    {{"fanotify_init", SYS_fanotify_init, {kAll, 0}}, EPERM},
    {{"fadvise WILLNEED", SYS_fadvise64, {kNoFd, 0, 0, POSIX_FADV_WILLNEED}}, 0},
    {{"madvise WILLNEED", SYS_madvise, {1, 1, MADV_WILLNEED}}, 0},
    {{"readahead", SYS_readahead, {kNoFd, 0, 1}}, 0},
    {{"fadvise DONTNEED", SYS_fadvise64, {kNoFd, 0, 0, POSIX_FADV_DONTNEED}}, 0},
    {{"splice", SYS_splice, {kNoFd, 0, kNoFd, 0, 1, 0}}, EINVAL},
    {{"tee", SYS_tee, {kNoFd, kNoFd, 1, 0}}, EINVAL},
    {{"vmsplice", SYS_vmsplice, {kNoFd, 0, 0, 0}}, EINVAL},
    {{"sendfile", SYS_sendfile, {kNoFd, kNoFd, 0, 1}}, EINVAL},
    {{"syncfs", SYS_syncfs, {kNoFd}}, 0},
    {{"fsync", SYS_fsync, {kNoFd}}, 0},
    {{"fdatasync", SYS_fdatasync, {kNoFd}}, 0},
    {{"name_to_handle_at", SYS_name_to_handle_at, {kNoFd, 0, 0, 0, 0}}, EPERM},
    {{"open_by_handle_at", SYS_open_by_handle_at, {kNoFd, 0, 0}}, EPERM},
    {{"keyctl", SYS_keyctl, {999}}, EPERM},
    {{"add_key", SYS_add_key, {0, 0, 0, 0, 0}}, EPERM},
    {{"request_key", SYS_request_key, {0, 0, 0, 0}}, EPERM},
    {{"shmget", SYS_shmget, {0x48454152, 1, 0}}, EPERM},
    {{"shmat", SYS_shmat, {kAll, 0, 0}}, EPERM},
    {{"semget", SYS_semget, {0x48454152, 1, 0}}, EPERM},
    {{"semop", SYS_semop, {kAll, 0, 1}}, EPERM},
    {{"msgget", SYS_msgget, {0x48454152, 0}}, EPERM},
    {{"mq_open", SYS_mq_open, {0, 0, 0, 0}}, EPERM},
    {{"mq_unlink", SYS_mq_unlink, {0}}, EPERM},
    // More kernel than a function needs.
    {{"bpf", SYS_bpf, {999, 0, 0}}, EPERM},
    {{"perf_event_open", SYS_perf_event_open, {0, 0, 0, 0, 0}}, EPERM},
    {{"userfaultfd", SYS_userfaultfd, {kAll}}, EPERM},
    {{"io_uring_setup", SYS_io_uring_setup, {0, 0}}, EPERM},
    {{"io_uring_enter", SYS_io_uring_enter, {kNoFd, 0, 0, 0, 0, 0}}, EPERM},
    {{"io_uring_register", SYS_io_uring_register, {kNoFd, 0, 0, 0}}, EPERM},
    {{"io_setup", SYS_io_setup, {0, 0}}, EPERM},
    {{"seccomp listener", SYS_seccomp, {1, SECCOMP_FILTER_FLAG_NEW_LISTENER, 0}}, EPERM},
    {{"personality without randomness", SYS_personality, {0x40000}}, EINVAL},
    {{"modify_ldt", SYS_modify_ldt, {99, 0, 0}}, EPERM},
    {{"iopl", SYS_iopl, {99}}, EPERM},
    {{"ioperm", SYS_ioperm, {kAll, 1, 1}}, EPERM},
    {{"remap_file_pages", SYS_remap_file_pages, {0, 0, 0, 0, 0}}, EPERM},
    {{"set_mempolicy", SYS_set_mempolicy, {0, 0, 0}}, EPERM},
    {{"ioctl TIOCSTI", SYS_ioctl, {kNoFd, TIOCSTI, 0}}, ENOTTY},
    {{"ioctl TIOCSTI, high bits", SYS_ioctl, {kNoFd, kHighBits | TIOCSTI, 0}}, ENOTTY},
    {{"ioctl TIOCLINUX", SYS_ioctl, {kNoFd, TIOCLINUX, 0}}, ENOTTY},
    {{"ioctl FIOSETOWN", SYS_ioctl, {kNoFd, 0x8901, 0}}, ENOTTY},
    // The host.
    {{"reboot", SYS_reboot, {0, 0, 0, 0}}, EPERM},
    {{"swapon", SYS_swapon, {0, 0}}, EPERM},
    {{"acct", SYS_acct, {1}}, EPERM},
    {{"settimeofday", SYS_settimeofday, {0, 0}}, EPERM},
    {{"clock_settime", SYS_clock_settime, {999, 0}}, EPERM},
    {{"adjtimex", SYS_adjtimex, {0}}, EPERM},
    {{"sethostname", SYS_sethostname, {0, kAll}}, EPERM},
    {{"syslog", SYS_syslog, {99, 0, 0}}, EPERM},
    // Sockets.
    {{"raw", SYS_socket, {AF_INET, SOCK_RAW, IPPROTO_ICMP}}, EPERM},
    {{"raw, with flags", SYS_socket, {AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_UDP}}, EPERM},
    {{"packet", SYS_socket, {AF_PACKET, SOCK_RAW, 0}}, EAFNOSUPPORT},
    {{"packet, high bits", SYS_socket, {kHighBits | AF_PACKET, SOCK_DGRAM, 0}}, EAFNOSUPPORT},
    {{"netlink uevent", SYS_socket, {AF_NETLINK, SOCK_RAW, 15}}, EAFNOSUPPORT},
    {{"raw Unix", SYS_socket, {AF_UNIX, SOCK_RAW, 0}}, EAFNOSUPPORT},
    {{"socketpair of no family", SYS_socketpair, {AF_INET, SOCK_STREAM, 0, 0}}, EAFNOSUPPORT},
    {{"TCP_ULP", SYS_setsockopt, {kNoFd, IPPROTO_TCP, TCP_ULP, 0, 0}}, ENOPROTOOPT},
    {{"UDP_ENCAP", SYS_setsockopt, {kNoFd, IPPROTO_UDP, 100, 0, 0}}, ENOPROTOOPT},
    {{"ATTACH_FILTER", SYS_setsockopt, {kNoFd, SOL_SOCKET, SO_ATTACH_FILTER, 0, 0}}, ENOPROTOOPT},
    {{"filter, high bits", SYS_setsockopt, {kNoFd, kHighBits | 1, kHighBits | 26}}, ENOPROTOOPT},
    {{"not of this level", SYS_setsockopt, {kNoFd, SOL_SOCKET, TCP_NODELAY, 0, 0}}, ENOPROTOOPT},
    {{"sendto MSG_OOB", SYS_sendto, {kNoFd, 0, 0, MSG_OOB | MSG_NOSIGNAL, 0, 0}}, EOPNOTSUPP},
    {{"sendto OOB, high bits", SYS_sendto, {kNoFd, 0, 0, kHighBits | MSG_OOB}}, EOPNOTSUPP},
    {{"sendmsg MSG_OOB", SYS_sendmsg, {kNoFd, 0, MSG_OOB}}, EOPNOTSUPP},
    {{"sendmmsg MSG_OOB", SYS_sendmmsg, {kNoFd, 0, 1, MSG_OOB}}, EOPNOTSUPP},
    // Flags and advice.
    {{"preadv2 NOWAIT", SYS_preadv2, {kNoFd, 0, 0, 0, 0, 8}}, EOPNOTSUPP},
    {{"preadv2 NOWAIT, high bits", SYS_preadv2, {kNoFd, 0, 0, 0, 0, kHighBits | 8}}, EOPNOTSUPP},
    {{"pwritev2 APPEND", SYS_pwritev2, {kNoFd, 0, 0, 0, 0, 16}}, EOPNOTSUPP},
    {{"madvise COLD", SYS_madvise, {0, 0, MADV_COLD}}, EINVAL},
    {{"madvise PAGEOUT", SYS_madvise, {0, 0, MADV_PAGEOUT}}, EINVAL},
    {{"madvise PAGEOUT, high bits", SYS_madvise, {0, 0, kHighBits | MADV_PAGEOUT}}, EINVAL},
};

TEST(Filter, RefusesWhatItShouldAndNobodyElseDoes) {
  for (const Denied& denied : kDenied) {
    EXPECT_EQ(outcome(server(), denied.call), denied.error) << denied.call.name;
    EXPECT_EQ(outcome(zygote(), denied.call), denied.error) << denied.call.name;
    EXPECT_NE(outcome({}, denied.call), denied.error) << denied.call.name << " without the filter";
  }
}

// Refused whatever this host's kernel has, so the answer without the filter says nothing.
const Denied kDeniedWithoutTwin[] = {
    {{"algorithms", SYS_socket, {38, SOCK_SEQPACKET, 0}}, EAFNOSUPPORT},
    {{"vsock", SYS_socket, {40, SOCK_STREAM, 0}}, EAFNOSUPPORT},
    {{"key", SYS_socket, {15, SOCK_RAW, 2}}, EAFNOSUPPORT},
    {{"rxrpc", SYS_socket, {33, SOCK_DGRAM, 2}}, EAFNOSUPPORT},
    {{"tipc", SYS_socket, {30, SOCK_DGRAM, 0}}, EAFNOSUPPORT},
    {{"bluetooth", SYS_socket, {31, SOCK_SEQPACKET, 0}}, EAFNOSUPPORT},
    {{"can", SYS_socket, {29, SOCK_RAW, 1}}, EAFNOSUPPORT},
    {{"xdp", SYS_socket, {44, SOCK_RAW, 0}}, EAFNOSUPPORT},
    {{"sctp", SYS_socket, {AF_INET, SOCK_STREAM, IPPROTO_SCTP}}, EAFNOSUPPORT},
    {{"mptcp", SYS_socket, {AF_INET6, SOCK_STREAM, 262}}, EAFNOSUPPORT},
    {{"dccp", SYS_socket, {AF_INET, 6, 33}}, EAFNOSUPPORT},
    {{"netlink audit", SYS_socket, {AF_NETLINK, SOCK_RAW, 9}}, EAFNOSUPPORT},
    {{"netlink xfrm", SYS_socket, {AF_NETLINK, SOCK_RAW, 6}}, EAFNOSUPPORT},
    {{"netlink netfilter", SYS_socket, {AF_NETLINK, SOCK_RAW, 12}}, EAFNOSUPPORT},
    {{"init_module", SYS_init_module, {0, 0, 0}}, EPERM},
    {{"finit_module", SYS_finit_module, {kNoFd, 0, 0}}, EPERM},
    {{"delete_module", SYS_delete_module, {0, 0}}, EPERM},
    {{"kexec_load", SYS_kexec_load, {0, 0, 0, 0xffff}}, EPERM},
    {{"kexec_file_load", SYS_kexec_file_load, {kNoFd, kNoFd, 0, 0, 0}}, EPERM},
    {{"quotactl", SYS_quotactl, {0, 0, 0, 0}}, EPERM},
    {{"memfd_secret", SYS_memfd_secret, {0}}, EPERM},
    {{"vhangup", SYS_vhangup, {}}, EPERM},
    {{"swapoff", SYS_swapoff, {0}}, EPERM},
    {{"setpriority of init", SYS_setpriority, {0, 1, 0}}, EPERM},
    {{"prctl SET_MM", SYS_prctl, {PR_SET_MM, PR_SET_MM_BRK, 0, 0, 0}}, EINVAL},
    {{"prctl SET_PTRACER", SYS_prctl, {0x59616d61, kAll}}, EINVAL},
    // Newer than what the policy knows, so that programs fall back.
    {{"cachestat", 451, {kNoFd, 0, 0, 0}}, ENOSYS},
    {{"fchmodat2", 452, {kNoFd, 0, 0, 0}}, ENOSYS},
    {{"map_shadow_stack", 453, {0, 0, 0}}, ENOSYS},
    {{"statmount", 457, {0, 0, 0, 0}}, ENOSYS},
    {{"listmount", 458, {0, 0, 0, 0}}, ENOSYS},
    {{"lsm_get_self_attr", 459, {0, 0, 0, 0}}, ENOSYS},
    {{"mseal", 462, {0, 0, 0}}, ENOSYS},
    {{"madvise MERGEABLE", SYS_madvise, {0, 0, MADV_MERGEABLE}}, EINVAL},
    {{"madvise HWPOISON", SYS_madvise, {0, 0, MADV_HWPOISON}}, EINVAL},
    {{"a number in the gap", 400, {}}, ENOSYS},
    {{"a number far away", 100000, {}}, ENOSYS},
};

TEST(Filter, RefusesWhatThisKernelMayNotHave) {
  for (const Denied& denied : kDeniedWithoutTwin) {
    EXPECT_EQ(outcome(server(), denied.call), denied.error) << denied.call.name;
    EXPECT_EQ(outcome(zygote(), denied.call), denied.error) << denied.call.name;
  }
}

// A server's program may be process 2 itself; a zygote always is, and its children share the
// filter.
TEST(Filter, OnlyTheZygotesProtectsProcessTwo) {
  const Call calls[] = {{"kill", SYS_kill, {2, 0}},
                        {"kill its group", SYS_kill, {uint64_t(-2), 0}},
                        {"kill, as 32 bits", SYS_kill, {0xfffffffe, 0}},
                        {"kill, high bits", SYS_kill, {kHighBits | 2, 0}},
                        {"tkill", SYS_tkill, {2, 0}},
                        {"tgkill", SYS_tgkill, {2, 2, 0}},
                        {"rt_sigqueueinfo", SYS_rt_sigqueueinfo, {2, 0, 0}},
                        {"rt_tgsigqueueinfo", SYS_rt_tgsigqueueinfo, {2, 2, 0, 0}},
                        {"pidfd_open", SYS_pidfd_open, {2, 0}},
                        {"prlimit64", SYS_prlimit64, {2, 99, 0, 0}},
                        {"sched_setaffinity", SYS_sched_setaffinity, {2, 0, 0}},
                        {"sched_setattr", SYS_sched_setattr, {2, 0, 0}},
                        {"sched_setparam", SYS_sched_setparam, {2, 0}},
                        {"sched_setscheduler", SYS_sched_setscheduler, {2, kAll, 0}},
                        {"ioprio_set", SYS_ioprio_set, {1, 2, kAll}},
                        {"pidfd_send_signal", SYS_pidfd_send_signal, {kNoFd, 0, 0, 0}}};
  for (const Call& call : calls) {
    EXPECT_EQ(outcome(zygote(), call), EPERM) << call.name;
    EXPECT_EQ(outcome(server(), call), outcome({}, call)) << call.name;
    EXPECT_NE(outcome({}, call), EPERM) << call.name;
  }
}

TEST(Filter, KillsCallersOfOtherArchitectures) {
  constexpr long kX32 = 0x40000000;
  for (Filter filter : {server(), zygote()}) {
    EXPECT_EQ(outcome(filter, {"x32", kX32 | SYS_getpid, {}}), 1000 + SIGSYS);
    EXPECT_EQ(outcome_of_i386_getpid(filter), 1000 + SIGSYS);
  }
  EXPECT_LT(outcome({}, {"x32", kX32 | SYS_getpid, {}}), 1000);
}

// Allowed: the filter makes no difference.
const Call kAllowed[] = {
    {"getpid", SYS_getpid, {}},
    {"fork", SYS_fork, {}},
    {"clone", SYS_clone, {SIGCHLD}},
    {"clone CLONE_PARENT", SYS_clone, {CLONE_PARENT | SIGCHLD}},
    {"clone, high bits", SYS_clone, {SIGCHLD}},
    {"execve", SYS_execve, {0, 0, 0}},
    {"execveat", SYS_execveat, {kNoFd, 0, 0, 0, 0}},
    {"kill itself", SYS_kill, {0, 0}},
    {"kill nobody", SYS_kill, {kNobody, 0}},
    {"kill a group of nobody", SYS_kill, {-kNobody, 0}},
    {"pidfd_open nobody", SYS_pidfd_open, {kNobody, 0}},
    {"prlimit64", SYS_prlimit64, {0, 7, 0, 0}},
    {"prlimit64 that looks at core dumps", SYS_prlimit64, {0, RLIMIT_CORE, 0, 0}},
    {"prlimit64 of descriptors", SYS_prlimit64, {0, RLIMIT_NOFILE, 1, 0}},
    {"setpriority", SYS_setpriority, {0, 0, 19}},
    {"sched_setaffinity", SYS_sched_setaffinity, {0, 0, 0}},
    {"sched_setscheduler", SYS_sched_setscheduler, {0, 0, 0}},
    {"prlimit64 of another", SYS_prlimit64, {kNobody, 0, 0, 0}},
    {"setpriority of another", SYS_setpriority, {0, kNobody, 0}},
    {"sched_setaffinity of another", SYS_sched_setaffinity, {kNobody, 0, 0}},
    {"sched_setattr of another", SYS_sched_setattr, {kNobody, 0, 0}},
    {"sched_setparam of another", SYS_sched_setparam, {kNobody, 0}},
    {"sched_setscheduler of another", SYS_sched_setscheduler, {kNobody, kAll, 0}},
    {"ioprio_set of another", SYS_ioprio_set, {1, kNobody, kAll}},
    {"sched_getaffinity of another", SYS_sched_getaffinity, {kNobody, 8, 0}},
    {"ioprio_set", SYS_ioprio_set, {1, 0, 0}},
    {"personality", SYS_personality, {0}},
    {"personality query", SYS_personality, {0xffffffff}},
    {"prctl SET_NAME", SYS_prctl, {PR_SET_NAME, uint64_t("x")}},
    {"prctl SET_DUMPABLE", SYS_prctl, {PR_SET_DUMPABLE, 0}},
    {"prctl SET_PDEATHSIG", SYS_prctl, {PR_SET_PDEATHSIG, 9}},
    {"prctl SET_NO_NEW_PRIVS", SYS_prctl, {PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0}},
    {"prctl CAPBSET_READ", SYS_prctl, {PR_CAPBSET_READ, 0}},
    {"fcntl F_DUPFD_CLOEXEC", SYS_fcntl, {1, F_DUPFD_CLOEXEC, 10}},
    {"fcntl F_GETFL", SYS_fcntl, {1, F_GETFL, 0}},
    {"fcntl F_SETLK", SYS_fcntl, {kNoFd, F_SETLK, 0}},
    {"fcntl F_OFD_SETLKW", SYS_fcntl, {kNoFd, F_OFD_SETLKW, 0}},
    {"fcntl F_ADD_SEALS", SYS_fcntl, {kNoFd, F_ADD_SEALS, 0}},
    {"ioctl FIONREAD", SYS_ioctl, {kNoFd, FIONREAD, 0}},
    {"ioctl FIONBIO", SYS_ioctl, {kNoFd, FIONBIO, 0}},
    {"ioctl FIOCLEX", SYS_ioctl, {1, FIOCLEX, 0}},
    {"ioctl TCGETS", SYS_ioctl, {kNoFd, TCGETS, 0}},
    {"ioctl, sign-extended", SYS_ioctl, {kNoFd, uint64_t(int64_t(int(0x80086601))), 0}},
    {"Unix", SYS_socket, {AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0}},
    {"Unix datagrams", SYS_socket, {AF_UNIX, SOCK_DGRAM, 0}},
    {"Unix packets", SYS_socket, {AF_UNIX, SOCK_SEQPACKET, 0}},
    {"TCP", SYS_socket, {AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0}},
    {"TCP by number", SYS_socket, {AF_INET6, SOCK_STREAM, IPPROTO_TCP}},
    {"UDP", SYS_socket, {AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0}},
    {"UDP by number", SYS_socket, {AF_INET6, SOCK_DGRAM, IPPROTO_UDP}},
    {"rtnetlink", SYS_socket, {AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0}},
    {"socketpair", SYS_socketpair, {AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, 0}},
    {"fadvise", SYS_fadvise64, {kNoFd, 0, 0, POSIX_FADV_SEQUENTIAL}},
    {"madvise", SYS_madvise, {1, 1, MADV_DONTNEED}},
    {"madvise, high bits", SYS_madvise, {0, 0, kHighBits | MADV_FREE}},
    {"SO_REUSEADDR", SYS_setsockopt, {kNoFd, SOL_SOCKET, SO_REUSEADDR, 0, 0}},
    {"TCP_NODELAY", SYS_setsockopt, {kNoFd, IPPROTO_TCP, TCP_NODELAY, 0, 0}},
    {"TCP_NODELAY, high bits", SYS_setsockopt, {kNoFd, kHighBits | IPPROTO_TCP, kHighBits | 1}},
    {"IPV6_V6ONLY", SYS_setsockopt, {kNoFd, IPPROTO_IPV6, IPV6_V6ONLY, 0, 0}},
    {"preadv2", SYS_preadv2, {kNoFd, 0, 0, 0, 0, 0}},
    {"pwritev2, high bits", SYS_pwritev2, {kNoFd, 0, 0, 0, 0, kHighBits}},
    {"sendto", SYS_sendto, {kNoFd, 0, 0, MSG_NOSIGNAL | MSG_DONTWAIT, 0, 0}},
    {"sendmsg", SYS_sendmsg, {kNoFd, 0, 0}},
    {"memfd_create", SYS_memfd_create, {uint64_t("x"), 0}},
    {"mprotect", SYS_mprotect, {0, 0, 7}},
    {"membarrier", SYS_membarrier, {0, 0, 0}},
    {"faccessat2", SYS_faccessat2, {kNoFd, 0, 0, 0}},
    {"statx", SYS_statx, {kNoFd, 0, 0, 0, 0}},
    {"copy_file_range", SYS_copy_file_range, {kNoFd, 0, kNoFd, 0, 1, 0}},
    {"futex_waitv", SYS_futex_waitv, {0, 0, 0, 0, 0}},
    {"epoll_pwait2", SYS_epoll_pwait2, {kNoFd, 0, 0, 0, 0}},
    {"rseq", SYS_rseq, {0, 0, 0, 0}},
    {"close_range", SYS_close_range, {100, 200, 0}},
    {"landlock", SYS_landlock_create_ruleset, {0, 0, 1}},
    {"seccomp", SYS_seccomp, {1, 0, 0}},
    {"clock_gettime", SYS_clock_gettime, {0, 0}},
    {"getrandom", SYS_getrandom, {0, 0, 0}},
    {"setresuid", SYS_setresuid, {kAll, kAll, kAll}},
};

TEST(Filter, LeavesTheRestAsTheKernelHasIt) {
  for (const Call& call : kAllowed) {
    int without = outcome({}, call);
    EXPECT_EQ(outcome(server(), call), without) << call.name;
    EXPECT_EQ(outcome(zygote(), call), without) << call.name;
  }
}

// What every number gets when its arguments are 0, against the list that was read when it was made.
// A line is `number name outcome`; the name is for the reader.
TEST(Filter, AnswersEveryNumberAsListed) {
  std::map<uint32_t, std::string> words = {{SECCOMP_RET_ALLOW, "allow"},
                                           {SECCOMP_RET_KILL_PROCESS, "kill"},
                                           {SECCOMP_RET_ERRNO | 0, "success"},
                                           {SECCOMP_RET_ERRNO | EPERM, "EPERM"},
                                           {SECCOMP_RET_ERRNO | ENOSYS, "ENOSYS"},
                                           {SECCOMP_RET_ERRNO | EINVAL, "EINVAL"},
                                           {SECCOMP_RET_ERRNO | ENOTTY, "ENOTTY"},
                                           {SECCOMP_RET_ERRNO | EAFNOSUPPORT, "EAFNOSUPPORT"},
                                           {SECCOMP_RET_ERRNO | ENOPROTOOPT, "ENOPROTOOPT"}};
  std::ifstream file(FILTER_LIST);
  std::string name, expected;
  long number = 0, next = 0;
  while (file >> number >> name >> expected) {
    for (; next < number; ++next) {
      EXPECT_EQ(words[verdict(server(), next)], "ENOSYS") << next;
      EXPECT_EQ(words[verdict(zygote(), next)], "ENOSYS") << next;
    }
    EXPECT_EQ(words[verdict(server(), number)], expected) << number << " " << name;
    // The one number with another answer whatever its arguments are.
    if (name == "pidfd_send_signal") expected = "EPERM";
    EXPECT_EQ(words[verdict(zygote(), number)], expected) << number << " " << name;
    next = number + 1;
  }
  EXPECT_EQ(next, 451);  // the whole list was read
  for (; next < 2000; ++next) EXPECT_EQ(words[verdict(server(), next)], "ENOSYS") << next;
}

}  // namespace
}  // namespace hearth::sandbox
