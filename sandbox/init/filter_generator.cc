// SPDX-License-Identifier: Apache-2.0
// Runs at build time: turns policy.cc into the BPF programs that hearth-init loads, as C++ arrays.
#include <fcntl.h>
#include <linux/bpf_common.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "sandbox/init/policy.h"
#include "sandbox/sys/error.h"
#include "sandbox/sys/fd.h"

namespace hearth::sandbox::init {
namespace {

using Code = std::vector<sock_filter>;

// The end of a stage that decided nothing. No rule uses this action.
constexpr uint32_t kUndecided = SCMP_ACT_TRAP;
static_assert(SECCOMP_RET_TRAP == SCMP_ACT_TRAP);

int checked(int rc, const std::string& object) {
  if (rc < 0) throw sys::Error("libseccomp", object, -rc);
  return rc;
}

// One libseccomp filter, being filled.
class Stage {
 public:
  explicit Stage(uint32_t default_action) : filter_(seccomp_init(default_action)) {
    HEARTH_CHECK(filter_);
    // i386 and x32 calls have other numbers: whoever makes one looks for a way around this.
    checked(seccomp_attr_set(filter_.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS),
            "ACT_BADARCH");
    // A binary tree instead of one list: a shorter way to each call, and loaded in half the time.
    checked(seccomp_attr_set(filter_.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2), "CTL_OPTIMIZE");
  }

  void add(const policy::Group& group) {
    for (const policy::Rule& rule : group.rules) add(group.action, rule);
  }
  void add(uint32_t action, const policy::Rule& rule) {
    int number = seccomp_syscall_resolve_name(rule.name.c_str());
    HEARTH_CHECK(number != __NR_SCMP_ERROR);  // a name nobody knows is a spelling mistake
    if (number < 0) return;                   // another architecture's
    std::vector<scmp_arg_cmp> arguments;
    for (const policy::Argument& a : rule.arguments) {
      arguments.push_back(a.is_given ? scmp_arg_cmp{a.index, SCMP_CMP_NE, 0, 0}
                                     : scmp_arg_cmp{a.index, SCMP_CMP_MASKED_EQ, a.mask, a.value});
    }
    checked(seccomp_rule_add_exact_array(filter_.get(), action, number, unsigned(arguments.size()),
                                         arguments.data()),
            rule.name);
  }

  Code code() const {
    sys::Fd file(sys::check(::memfd_create("filter", MFD_CLOEXEC), "memfd_create"));
    checked(seccomp_export_bpf(filter_.get(), file.get()), "export");
    off_t size = sys::check(::lseek(file.get(), 0, SEEK_END), "lseek");
    Code code(size_t(size) / sizeof(sock_filter));
    HEARTH_CHECK(::pread(file.get(), code.data(), size_t(size), 0) == size);
    return code;
  }

 private:
  struct Release {
    void operator()(void* filter) const { seccomp_release(filter); }
  };
  std::unique_ptr<void, Release> filter_;
};

// `first`, and where it decided nothing, `second`: its undecided ends become jumps to it.
Code joined(Code first, const Code& second) {
  for (size_t i = 0; i < first.size(); ++i) {
    sock_filter& instruction = first[i];
    if (instruction.code == (BPF_RET | BPF_K) && instruction.k == kUndecided)
      instruction = {BPF_JMP | BPF_JA, 0, 0, uint32_t(first.size() - i - 1)};
  }
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

bool known(int number) {
  if (number > policy::kNewestKnown) return false;
  std::unique_ptr<char, void (*)(void*)> name(
      seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, number), std::free);
  return name != nullptr;
}

// Answers ENOSYS to every number without a call; libseccomp has no rule for ranges of numbers.
Code unknown_numbers() {
  Code code = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
  for (int first = 0; first <= policy::kNewestKnown; ++first) {
    if (known(first)) continue;
    int last = first;
    while (last < policy::kNewestKnown && !known(last + 1)) ++last;
    code.push_back(BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, uint32_t(first), 0, 2));
    code.push_back(BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, uint32_t(last), 1, 0));
    code.push_back(BPF_STMT(BPF_RET | BPF_K, SCMP_ACT_ERRNO(ENOSYS)));
    first = last;
  }
  code.push_back(BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, policy::kNewestKnown, 0, 1));
  code.push_back(BPF_STMT(BPF_RET | BPF_K, SCMP_ACT_ERRNO(ENOSYS)));
  return code;
}

Code build(policy::Program program) {
  Stage refused(kUndecided), allowed(kUndecided), errors(SCMP_ACT_ERRNO(EPERM));
  for (const policy::Group& group : policy::refused(program)) refused.add(group);
  for (const policy::Group& group : policy::allowed()) allowed.add(group);
  for (const policy::Group& group : policy::errors()) errors.add(group);
  Code rest = unknown_numbers();
  Code last = errors.code();
  rest.insert(rest.end(), last.begin(), last.end());
  Code code = joined(refused.code(), joined(allowed.code(), rest));
  HEARTH_CHECK(code.size() <= BPF_MAXINSNS);
  return code;
}

void print(const char* name, const Code& code) {
  std::printf("inline constexpr sock_filter %s[] = {\n", name);
  for (const sock_filter& i : code)
    std::printf("    {0x%02x, %u, %u, 0x%08x},\n", i.code, i.jt, i.jf, i.k);
  std::printf("};\n");
}

}  // namespace
}  // namespace hearth::sandbox::init

int main() {
  using namespace hearth::sandbox::init;
  std::printf("// Generated from sandbox/init/policy.cc.\n#pragma once\n\n");
  std::printf("#include <linux/filter.h>\n\nnamespace hearth::sandbox::init {\n\n");
  print("kServerFilter", build(policy::Program::kServer));
  print("kZygoteFilter", build(policy::Program::kZygote));
  std::printf("\n}  // namespace hearth::sandbox::init\n");
  return 0;
}
