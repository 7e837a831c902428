// SPDX-License-Identifier: Apache-2.0
#include "filter_run.h"

#include <linux/audit.h>
#include <linux/bpf_common.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "sandbox/sys/error.h"

namespace hearth::sandbox {
namespace {

void load(Filter filter) {
  if (filter.empty()) return;
  sock_fprog program{static_cast<unsigned short>(filter.size()),
                     const_cast<sock_filter*>(filter.data())};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
      ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)
    ::_exit(255);
}

template <typename Body>
int in_child(Filter filter, Body body) {
  pid_t pid = sys::check(::fork(), "fork");
  if (pid == 0) {
    load(filter);
    // What `body` forks ends here too.
    ::_exit(body());
  }
  int status = 0;
  sys::check(::waitpid(pid, &status, 0), "waitpid");
  if (WIFSIGNALED(status)) return 1000 + WTERMSIG(status);
  if (WEXITSTATUS(status) == 255) throw std::runtime_error("the filter was not loaded");
  return WEXITSTATUS(status);
}

uint32_t loaded(const seccomp_data& data, uint32_t offset) {
  uint32_t word;
  if (offset > sizeof data - sizeof word) throw std::runtime_error("load outside the data");
  std::memcpy(&word, reinterpret_cast<const char*>(&data) + offset, sizeof word);
  return word;
}

bool jumps(const sock_filter& instruction, uint32_t accumulator) {
  switch (BPF_OP(instruction.code)) {
    case BPF_JEQ:
      return accumulator == instruction.k;
    case BPF_JGT:
      return accumulator > instruction.k;
    case BPF_JGE:
      return accumulator >= instruction.k;
    case BPF_JSET:
      return (accumulator & instruction.k) != 0;
    default:
      throw std::runtime_error("unknown jump");
  }
}

}  // namespace

int outcome(Filter filter, const Call& call) {
  return in_child(filter, [&] {
    const auto& a = call.arguments;
    return ::syscall(call.number, a[0], a[1], a[2], a[3], a[4], a[5]) < 0 ? errno : 0;
  });
}

int outcome_of_i386_getpid(Filter filter) {
  return in_child(filter, [] {
    long result = 20;  // getpid there
    asm volatile("int $0x80" : "+a"(result) : : "memory", "r8", "r9", "r10", "r11");
    return result < 0 ? int(-result) : 0;
  });
}

uint32_t verdict(Filter filter, long number, const std::array<uint64_t, 6>& arguments) {
  seccomp_data data{int(number), AUDIT_ARCH_X86_64, 0, {}};
  for (size_t i = 0; i < arguments.size(); ++i) data.args[i] = arguments[i];
  uint32_t accumulator = 0;
  for (size_t at = 0; at < filter.size(); ++at) {
    const sock_filter& instruction = filter[at];
    switch (instruction.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        accumulator = loaded(data, instruction.k);
        break;
      case BPF_ALU | BPF_AND | BPF_K:
        accumulator &= instruction.k;
        break;
      case BPF_RET | BPF_K:
        return instruction.k;
      case BPF_JMP | BPF_JA:
        at += instruction.k;
        break;
      default:
        if (BPF_CLASS(instruction.code) != BPF_JMP) throw std::runtime_error("unknown code");
        at += jumps(instruction, accumulator) ? instruction.jt : instruction.jf;
    }
  }
  throw std::runtime_error("the filter has no end");
}

}  // namespace hearth::sandbox
