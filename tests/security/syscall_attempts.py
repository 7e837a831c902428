# SPDX-License-Identifier: Apache-2.0
"""The system calls that the sweep makes, with arguments that can do no harm where they are allowed.

A call that gets through fails on its arguments, or changes only the process that made it, which
ends. The errors that the filter answers with are never those that the arguments lead to."""

import re
from dataclasses import dataclass

BAD = 2**64 - 1  # no descriptor, no address, no process, no length
NOBODY = 0x7fffffff
SYSCALL, WITHOUT_STACK, INT80, SYSENTER, VSYSCALL = range(5)
LAST = 600
X32 = 0x40000000


@dataclass(frozen=True)
class Attempt:
    label: str
    number: int
    arguments: tuple = ()
    gate: int = SYSCALL

    def line(self):
        padded = self.arguments + (0,) * (6 - len(self.arguments))
        values = [each % 2**64 for each in (self.number, *padded)]
        return " ".join(map(str, (self.gate, *values)))


# Where six times BAD says too little: it would be refused for another reason, block, or do harm.
ARGUMENTS = {
    16: (BAD, 0x541b), 28: (0, 0, 4), 40: (BAD, BAD, 0, 1), 41: (1, 1, 0),
    44: (BAD, BAD, BAD, 0, 0, 0), 46: (BAD, BAD, 0), 53: (1, 1, 0, BAD), 54: (BAD, 1, 2, BAD, 4),
    56: (17,),
    62: (NOBODY, 0), 64: (1, BAD, 0), 68: (1, 0), 72: (BAD, 1), 73: (BAD, 8),
    129: (NOBODY, 0, BAD), 135: (0xffffffff,), 141: (0, 0, 19), 142: (0, BAD), 144: (0, BAD, BAD),
    154: (0, BAD, 1), 157: (16, BAD), 200: (NOBODY, 0), 202: (1, 1), 203: (0, 8, BAD),
    221: (BAD, 0, 0, 0), 234: (NOBODY, NOBODY, 0), 251: (1, 0, BAD), 275: (BAD, 0, BAD, 0, 1, 0),
    276: (BAD, BAD, 1, 0), 278: (BAD, 0, 0, 0), 297: (NOBODY, NOBODY, 0, BAD), 302: (0, BAD, 0, 0),
    307: (BAD, BAD, 1, 0), 314: (0, BAD, 0), 317: (BAD, 0, BAD), 327: (BAD, BAD, 1, 0, 0, 0),
    328: (BAD, BAD, 1, 0, 0, 0), 424: (BAD, 0, 0, 0), 434: (NOBODY, 0),
}

# Outside, these would be felt by the host: hanging up, writing back, and the priority of its
# processes 1 and 2. Or they would say nothing: what is process group 2 there, and has the processor
# sysenter?
NOT_OUTSIDE = re.compile(r"153|162|setpriority\(([12]|PRIO_PGRP)\)|kill\((-2|0xfffffffe)\)|"
                         r"int80 (?!20$)\d+|sysenter 20")

CLONE_FLAGS = {
    "NEWTIME": 0x80, "VM|VFORK": 0x4100, "FS": 0x200, "FILES": 0x400, "PIDFD": 0x1000,
    "PTRACE": 0x2000, "PARENT": 0x8000, "NEWNS": 0x20000, "SYSVSEM": 0x40000,
    "UNTRACED": 0x800000, "NEWCGROUP": 0x2000000, "NEWUTS": 0x4000000, "NEWIPC": 0x8000000,
    "NEWUSER": 0x10000000, "NEWPID": 0x20000000, "NEWNET": 0x40000000, "IO": 0x80000000}
FCNTL = {
    "F_DUPFD": 0, "F_GETFD": 1, "F_SETFD": 2, "F_GETFL": 3, "F_SETFL": 4, "F_GETLK": 5,
    "F_SETLK": 6, "F_SETLKW": 7, "F_SETOWN": 8, "F_GETOWN": 9, "F_SETSIG": 10, "F_GETSIG": 11,
    "F_SETOWN_EX": 15, "F_GETOWN_EX": 16, "F_GETOWNER_UIDS": 17, "F_OFD_GETLK": 36,
    "F_OFD_SETLK": 37, "F_OFD_SETLKW": 38, "F_SETLEASE": 1024, "F_GETLEASE": 1025,
    "F_NOTIFY": 1026, "F_DUPFD_QUERY": 1027, "F_CREATED_QUERY": 1028, "F_CANCELLK": 1029,
    "F_DUPFD_CLOEXEC": 1030, "F_SETPIPE_SZ": 1031, "F_GETPIPE_SZ": 1032, "F_ADD_SEALS": 1033,
    "F_GET_SEALS": 1034, "F_GET_RW_HINT": 1035, "F_SET_RW_HINT": 1036,
    "F_GET_FILE_RW_HINT": 1037, "F_SET_FILE_RW_HINT": 1038}
IOCTL = {
    "TCGETS": 0x5401, "TCSETS": 0x5402, "TIOCSCTTY": 0x540e, "TIOCSPGRP": 0x5410,
    "TIOCOUTQ": 0x5411, "TIOCSTI": 0x5412, "TIOCGWINSZ": 0x5413, "TIOCSWINSZ": 0x5414,
    "FIONREAD": 0x541b, "TIOCLINUX": 0x541c, "TIOCCONS": 0x541d, "FIONBIO": 0x5421,
    "TIOCSETD": 0x5423, "FIONCLEX": 0x5450, "FIOCLEX": 0x5451, "FIOASYNC": 0x5452,
    "FIOQSIZE": 0x5460, "FIBMAP": 1, "FIGETBSZ": 2, "FIFREEZE": 0xc0045877,
    "FITRIM": 0xc0185879, "FICLONE": 0x40049409, "FICLONERANGE": 0x4020940d,
    "FIDEDUPERANGE": 0xc0189436, "FS_IOC_GETFLAGS": 0x80086601, "FS_IOC_SETFLAGS": 0x40086602,
    "FS_IOC_FIEMAP": 0xc020660b, "FS_IOC_ENABLE_VERITY": 0x40806685, "FIOSETOWN": 0x8901,
    "SIOCSPGRP": 0x8902, "FIOGETOWN": 0x8903, "SIOCGSTAMP": 0x8906, "SIOCADDRT": 0x890b,
    "SIOCGIFNAME": 0x8910, "SIOCGIFCONF": 0x8912, "SIOCGIFFLAGS": 0x8913,
    "SIOCSIFFLAGS": 0x8914, "SIOCGIFADDR": 0x8915, "SIOCSIFADDR": 0x8916,
    "SIOCGIFBRDADDR": 0x8919, "SIOCGIFNETMASK": 0x891b, "SIOCGIFMTU": 0x8921,
    "SIOCGIFHWADDR": 0x8927, "SIOCGIFINDEX": 0x8933, "SIOCETHTOOL": 0x8946,
    "SIOCUNIXFILE": 0x89e0, "TUNSETIFF": 0x400454ca, "KVM_CREATE_VM": 0xae01,
    "NS_GET_USERNS": 0xb701, "PIDFD_GET_INFO": 0xc040ff0b, "BLKFLSBUF": 0x1261}
PRCTL = {
    1: "SET_PDEATHSIG", 2: "GET_PDEATHSIG", 3: "GET_DUMPABLE", 4: "SET_DUMPABLE", 5:
    "GET_UNALIGN", 6: "SET_UNALIGN", 7: "GET_KEEPCAPS", 8: "SET_KEEPCAPS", 9: "GET_FPEMU", 10:
    "SET_FPEMU", 11: "GET_FPEXC", 12: "SET_FPEXC", 13: "GET_TIMING", 14: "SET_TIMING", 15:
    "SET_NAME", 16: "GET_NAME", 17: "17", 18: "18", 19: "GET_ENDIAN", 20: "SET_ENDIAN", 21:
    "GET_SECCOMP", 22: "SET_SECCOMP", 23: "CAPBSET_READ", 24: "CAPBSET_DROP", 25: "GET_TSC", 26:
    "SET_TSC", 27: "GET_SECUREBITS", 28: "SET_SECUREBITS", 29: "SET_TIMERSLACK", 30:
    "GET_TIMERSLACK", 31: "TASK_PERF_EVENTS_DISABLE", 32: "TASK_PERF_EVENTS_ENABLE", 33:
    "MCE_KILL", 34: "MCE_KILL_GET", 35: "SET_MM", 36: "SET_CHILD_SUBREAPER", 37:
    "GET_CHILD_SUBREAPER", 38: "SET_NO_NEW_PRIVS", 39: "GET_NO_NEW_PRIVS", 40:
    "GET_TID_ADDRESS", 41: "SET_THP_DISABLE", 42: "GET_THP_DISABLE", 43:
    "MPX_ENABLE_MANAGEMENT", 44: "MPX_DISABLE_MANAGEMENT", 45: "SET_FP_MODE", 46: "GET_FP_MODE",
    47: "CAP_AMBIENT", 48: "48", 49: "49", 50: "SVE_SET_VL", 51: "SVE_GET_VL", 52:
    "GET_SPECULATION_CTRL", 53: "SET_SPECULATION_CTRL", 54: "PAC_RESET_KEYS", 55:
    "SET_TAGGED_ADDR_CTRL", 56: "GET_TAGGED_ADDR_CTRL", 57: "SET_IO_FLUSHER", 58:
    "GET_IO_FLUSHER", 59: "SET_SYSCALL_USER_DISPATCH", 60: "PAC_SET_ENABLED_KEYS", 61:
    "PAC_GET_ENABLED_KEYS", 62: "SCHED_CORE", 63: "SME_SET_VL", 64: "SME_GET_VL", 65:
    "SET_MDWE", 66: "GET_MDWE", 67: "SET_MEMORY_MERGE", 68: "GET_MEMORY_MERGE", 69:
    "RISCV_V_SET_CONTROL", 70: "RISCV_V_GET_CONTROL", 71: "RISCV_SET_ICACHE_FLUSH_CTX", 72:
    "PPC_GET_DEXCR", 73: "PPC_SET_DEXCR", 74: "GET_SHADOW_STACK_STATUS", 75:
    "SET_SHADOW_STACK_STATUS", 76: "LOCK_SHADOW_STACK_STATUS", 77: "TIMER_CREATE_RESTORE_IDS",
    78: "FUTEX_HASH", 79: "79", 0x53564d41: "SET_VMA", 0x59616d61: "SET_PTRACER", 0x41555856:
    "GET_AUXV"}
# Every option below the last that Linux has (6.18), by level; what has a name by its name.
OPTIONS = {
    "SOL_SOCKET": (1, range(1, 85), {
        2: "REUSEADDR", 6: "BROADCAST", 7: "SNDBUF", 8: "RCVBUF", 9: "KEEPALIVE", 10: "OOBINLINE",
        11: "NO_CHECK", 12: "PRIORITY", 13: "LINGER", 15: "REUSEPORT", 16: "PASSCRED",
        18: "RCVLOWAT", 20: "RCVTIMEO", 21: "SNDTIMEO", 25: "BINDTODEVICE", 26: "ATTACH_FILTER",
        27: "DETACH_FILTER", 29: "TIMESTAMP", 32: "SNDBUFFORCE", 33: "RCVBUFFORCE", 36: "MARK",
        42: "PEEK_OFF", 44: "LOCK_FILTER", 46: "BUSY_POLL", 50: "ATTACH_BPF",
        51: "ATTACH_REUSEPORT_CBPF", 52: "ATTACH_REUSEPORT_EBPF", 60: "ZEROCOPY", 61: "TXTIME",
        76: "PASSPIDFD"}),
    "TCP": (6, range(1, 46), {
        1: "NODELAY", 2: "MAXSEG", 3: "CORK", 4: "KEEPIDLE", 5: "KEEPINTVL", 6: "KEEPCNT",
        7: "SYNCNT", 8: "LINGER2", 9: "DEFER_ACCEPT", 10: "WINDOW_CLAMP", 12: "QUICKACK",
        13: "CONGESTION", 14: "MD5SIG", 18: "USER_TIMEOUT", 19: "REPAIR", 23: "FASTOPEN",
        25: "NOTSENT_LOWAT", 31: "ULP", 38: "AO_ADD_KEY"}),
    "UDP": (17, (1, 100, 101, 102, 103, 104), {
        1: "CORK", 100: "ENCAP", 103: "SEGMENT", 104: "GRO"}),
    "IP": (0, [*range(1, 53), 64, 65, 96, 97, 128, 129, 200, 1152, 1153], {
        1: "TOS", 2: "TTL", 3: "HDRINCL", 4: "OPTIONS", 8: "PKTINFO", 10: "MTU_DISCOVER",
        11: "RECVERR", 12: "RECVTTL", 13: "RECVTOS", 16: "IPSEC_POLICY", 17: "XFRM_POLICY",
        19: "TRANSPARENT", 24: "BIND_ADDRESS_NO_PORT", 32: "MULTICAST_IF", 33: "MULTICAST_TTL",
        34: "MULTICAST_LOOP", 35: "ADD_MEMBERSHIP", 41: "MSFILTER", 49: "MULTICAST_ALL",
        64: "IPT_SO_SET_REPLACE", 96: "ARPT_SO_SET_REPLACE", 128: "EBT_SO_SET_ENTRIES",
        200: "MRT_INIT"}),
    "IPV6": (41, range(1, 80), {
        1: "ADDRFORM", 16: "UNICAST_HOPS", 17: "MULTICAST_IF", 18: "MULTICAST_HOPS",
        19: "MULTICAST_LOOP", 20: "JOIN_GROUP", 23: "MTU_DISCOVER", 25: "RECVERR", 26: "V6ONLY",
        29: "MULTICAST_ALL", 49: "RECVPKTINFO", 51: "RECVHOPLIMIT", 57: "RTHDR", 62: "DONTFRAG",
        64: "IP6T_SO_SET_REPLACE", 66: "RECVTCLASS", 67: "TCLASS"}),
    "RAW": (255, (1,), {}), "NETLINK": (270, range(1, 13), {1: "ADD_MEMBERSHIP", 11: "EXT_ACK"}),
    "TLS": (282, (1, 2), {1: "TX", 2: "RX"})}
MADVISE = {
    "NORMAL": 0, "RANDOM": 1, "SEQUENTIAL": 2, "WILLNEED": 3, "DONTNEED": 4, "FREE": 8,
    "REMOVE": 9, "DONTFORK": 10, "DOFORK": 11, "MERGEABLE": 12, "UNMERGEABLE": 13, "HUGEPAGE": 14,
    "NOHUGEPAGE": 15, "DONTDUMP": 16, "DODUMP": 17, "WIPEONFORK": 18, "KEEPONFORK": 19, "COLD": 20,
    "PAGEOUT": 21, "POPULATE_READ": 22, "POPULATE_WRITE": 23, "DONTNEED_LOCKED": 24,
    "COLLAPSE": 25, "HWPOISON": 100, "SOFT_OFFLINE": 101, "GUARD_INSTALL": 102,
    "GUARD_REMOVE": 103, "unknown": 99}
RWF = {"HIPRI": 1, "DSYNC": 2, "SYNC": 4, "NOWAIT": 8, "APPEND": 16, "NOAPPEND": 32, "ATOMIC": 64,
       "DONTCACHE": 128, "NOSIGNAL": 256}
PERSONALITY = {
    "PER_LINUX": 0, "PER_LINUX32": 8, "UNAME26": 0x20000, "UNAME26|PER_LINUX32": 0x20008,
    "ADDR_NO_RANDOMIZE": 0x40000, "MMAP_PAGE_ZERO": 0x100000, "ADDR_COMPAT_LAYOUT": 0x200000,
    "READ_IMPLIES_EXEC": 0x400000, "ADDR_LIMIT_32BIT": 0x800000, "ADDR_LIMIT_3GB": 0x8000000,
    "query": 0xffffffff}
SIGNAL_CALLS = {"kill": 62, "tkill": 200, "tgkill": 234, "rt_sigqueueinfo": 129,
                "rt_tgsigqueueinfo": 297, "pidfd_open": 434}


def signal_arguments(name, target):
    """Signal 0 where the call takes one: it asks only whether it might be sent."""
    return {"tgkill": (target, target, 0), "rt_sigqueueinfo": (target, 0, BAD),
            "rt_tgsigqueueinfo": (target, target, 0, BAD)}.get(name, (target, 0))


def of_other_processes():
    yield Attempt("kill(0)", 62, (0, 0))
    for target in (-1, -2, 0xfffffffe, 2**32 + 1):
        yield Attempt(f"kill({target:#x})" if target > 0 else f"kill({target})", 62, (target, 0))
    for target in (1, 2):
        for name, number in SIGNAL_CALLS.items():
            yield Attempt(f"{name}({target})", number, signal_arguments(name, target))
        for name, number, arguments in (
                ("prlimit64", 302, (target, BAD)), ("setpriority", 141, (0, target, 19)),
                ("sched_setparam", 142, (target, BAD)),
                ("sched_setscheduler", 144, (target, BAD, BAD)),
                ("sched_setaffinity", 203, (target, 8, BAD)),
                ("sched_setattr", 314, (target, BAD, 0)), ("ioprio_set", 251, (1, target, BAD))):
            yield Attempt(f"{name}({target})", number, arguments)
    for name, number, arguments in (
            ("setrlimit(core)", 160, (4, BAD)),
            ("setrlimit(core, high bits)", 160, (2**32 + 4, BAD)),
            ("prlimit64(core)", 302, (0, 4, BAD)), ("prlimit64(core, far up)", 302, (0, 4, 2**32)),
            ("prlimit64(core, looks)", 302, (0, 4, 0, BAD)),
            ("prlimit64(nobody)", 302, (NOBODY, 7)), ("setpriority(nobody)", 141, (0, NOBODY, 19)),
            ("setpriority(PRIO_PGRP)", 141, (1, 0, 19)),
            ("setpriority(PRIO_USER)", 141, (2, NOBODY, 19)),
            ("sched_setparam(nobody)", 142, (NOBODY, BAD)),
            ("sched_setscheduler(nobody)", 144, (NOBODY, BAD, BAD)),
            ("sched_setaffinity(nobody)", 203, (NOBODY, 8, BAD)),
            ("sched_setattr(nobody)", 314, (NOBODY, BAD, 0)),
            ("ioprio_set(nobody)", 251, (1, NOBODY, BAD)),
            ("ioprio_set(IOPRIO_WHO_PGRP)", 251, (2, 0, BAD)),
            ("ioprio_set(IOPRIO_WHO_USER)", 251, (3, NOBODY, BAD))):
        yield Attempt(name, number, arguments)


def of_sockets():
    for family in range(47):
        for kind, name in ((1, "STREAM"), (2, "DGRAM"), (3, "RAW"), (5, "SEQPACKET")):
            if family in (1, 2, 10, 16) or kind == 1 + (family in (15, 17, 29, 44)) * 2:
                yield Attempt(f"socket({family},{name})", 41, (family, kind, 0))
    for protocol in range(23):
        yield Attempt(f"socket(NETLINK,RAW,{protocol})", 41, (16, 3, protocol))
    for name, arguments in (
            ("INET,STREAM,TCP", (2, 1, 6)), ("INET,STREAM,SCTP", (2, 1, 132)),
            ("INET,STREAM,MPTCP", (2, 1, 262)), ("INET,STREAM,SMC", (2, 1, 256)),
            ("INET,DGRAM,UDP", (2, 2, 17)), ("INET,DGRAM,ICMP", (2, 2, 1)),
            ("INET,DGRAM,UDPLITE", (2, 2, 136)), ("INET,RAW,ICMP", (2, 3, 1)),
            ("INET,PACKET", (2, 10, 0)), ("INET,DCCP", (2, 6, 33)),
            ("INET,STREAM|NONBLOCK|CLOEXEC", (2, 0o2004001, 0)),
            ("PACKET with bits above", (2**32 + 17, 3, 0))):
        yield Attempt(f"socket({name})", 41, arguments)


def of_open_sockets():
    for level, (number, options, names) in OPTIONS.items():
        for option in options:
            name = names.get(option)
            label = f"setsockopt({level},{name})" if name else f"{level} option {option}"
            yield Attempt(label, 54, (BAD, number, option, BAD, 4))
    yield Attempt("setsockopt(ATTACH_FILTER with bits above)", 54,
                  (BAD, 2**32 + 1, 2**32 + 26, BAD, 4))
    for name, flag in (("OOB", 1), ("DONTWAIT|NOSIGNAL", 0x4040),
                       ("OOB with bits above", 2**32 + 1)):
        yield Attempt(f"sendto({name})", 44, (BAD, BAD, BAD, flag, 0, 0))
        yield Attempt(f"sendmsg({name})", 46, (BAD, BAD, flag))
        yield Attempt(f"sendmmsg({name})", 307, (BAD, BAD, 1, flag))


def of_arguments():
    for name, flags in CLONE_FLAGS.items():
        yield Attempt(f"clone({name})", 56, (flags | 17,))
    for name, command in FCNTL.items():
        yield Attempt(f"fcntl({name})", 72, (BAD, command, 0))
    yield Attempt("fcntl(F_SETOWN with bits above)", 72, (BAD, 2**32 + 8, 0))
    for name, request in IOCTL.items():
        yield Attempt(f"ioctl({name})", 16, (BAD, request, 0))
    yield Attempt("ioctl(TIOCSTI with bits above)", 16, (BAD, 2**32 + 0x5412, 0))
    for option, name in PRCTL.items():
        yield Attempt(f"prctl({name})", 157, (option, 1, 0, 0, 0))
    for name, value in PERSONALITY.items():
        yield Attempt(f"personality({name})", 135, (value,))
    for advice, name in enumerate(("NORMAL", "RANDOM", "SEQUENTIAL", "WILLNEED", "DONTNEED",
                                   "NOREUSE")):
        yield Attempt(f"fadvise64({name})", 221, (BAD, 0, 0, advice))
    for name, advice in MADVISE.items():
        yield Attempt(f"madvise({name})", 28, (0, 0, advice))
    yield Attempt("madvise(PAGEOUT with bits above)", 28, (0, 0, 2**32 + 21))
    for name, flag in RWF.items():
        yield Attempt(f"preadv2({name})", 327, (BAD, BAD, 1, 0, 0, flag))
        yield Attempt(f"pwritev2({name})", 328, (BAD, BAD, 1, 0, 0, flag))
    yield Attempt("preadv2(NOWAIT with bits above)", 327, (BAD, BAD, 1, 0, 0, 2**32 + 8))
    for flag, name in enumerate(("TSYNC", "LOG", "SPEC_ALLOW", "NEW_LISTENER", "TSYNC_ESRCH",
                                 "WAIT_KILLABLE_RECV")):
        yield Attempt(f"seccomp(FILTER,{name})", 317, (1, 1 << flag, BAD))
    yield Attempt("seccomp(STRICT)", 317, (0, 0, BAD))
    yield Attempt("seccomp(GET_ACTION_AVAIL)", 317, (2, 0, BAD))
    yield Attempt("seccomp(GET_NOTIF_SIZES)", 317, (3, 0, BAD))


def of_other_entries():
    for number in range(LAST + 1):
        yield Attempt(f"{X32 + number:#x}", X32 + number, (BAD,) * 6)
    for number in range(480):
        # Outside only one of them is made: the others have effects.
        yield Attempt(f"int80 {number}", number, (), INT80)
    yield Attempt("sysenter 20", 20, (), SYSENTER)
    yield Attempt("vsyscall time", 201, (), VSYSCALL)


def far_numbers():
    for number in (1000, 4095, 100000, 0x3fffffff, 0x7fffffff, 0x80000000, 0x80000065, 0xbfffffff,
                   0xc0000065, 0xfffffffe, 0xffffffff):
        yield Attempt(f"{number:#x}", number, (BAD,) * 6)
    # The kernel looks at 32 bits of a number.
    yield Attempt("ptrace with bits above", 2**32 + 101, (BAD,) * 6)
    yield Attempt("getpid with bits above", 2**63 + 39, (BAD,) * 6)


def attempts():
    found = [Attempt(str(number), number, ARGUMENTS.get(number, (BAD,) * 6),
                     WITHOUT_STACK if number == 15 else SYSCALL) for number in range(LAST + 1)]
    for part in (far_numbers, of_arguments, of_other_processes, of_sockets, of_open_sockets,
                 of_other_entries):
        found += part()
    assert len({each.label for each in found}) == len(found)
    return found


def outside(attempt):
    """Whether a host can stand it being made without a filter."""
    return not NOT_OUTSIDE.fullmatch(attempt.label)
