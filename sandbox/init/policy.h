// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <seccomp.h>

#include <string>
#include <vector>

// Which system calls user code may make, as plain data. The filter tries three lists in order: what
// is refused whatever else holds, what is allowed, and which error the rest gets.
namespace hearth::sandbox::init::policy {

// A condition on one argument. The kernel looks at the low 32 bits of the arguments named here, so
// the filter does too: anything else could be passed by setting a bit the kernel drops.
struct Argument {
  unsigned index;
  uint32_t mask;
  uint32_t value;
  bool is_given = false;  // instead: a pointer that is not null, of which all 64 bits count
};

inline Argument is(unsigned index, uint32_t value) {
  return {index, 0xffffffff, value};
}
inline Argument has(unsigned index, uint32_t mask, uint32_t value) {
  return {index, mask, value};
}
inline Argument given(unsigned index) {
  return {index, 0, 0, true};
}

// One system call under conditions that must all hold.
struct Rule {
  std::string name;
  std::vector<Argument> arguments;
};

// Rules that end the same way, and why.
struct Group {
  std::string reason;
  uint32_t action;
  std::vector<Rule> rules;
};

enum class Program {
  kServer,  // serves calls itself: every other process of the sandbox is its own
  kZygote,  // and its children, which must not be able to signal it
};

// Numbers above this are answered with ENOSYS, as an older kernel would: programs have a way to do
// without what is new, but not without what is forbidden. (450 is set_mempolicy_home_node, 5.17.)
inline constexpr int kNewestKnown = 450;

std::vector<Group> refused(Program program);
std::vector<Group> allowed();
// For what neither list decided: rules without arguments. Calls the kernel knows that are named
// nowhere get EPERM, unknown numbers ENOSYS.
std::vector<Group> errors();

}  // namespace hearth::sandbox::init::policy
