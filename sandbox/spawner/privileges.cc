// SPDX-License-Identifier: Apache-2.0
#include "sandbox/spawner/privileges.h"

#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox/sys/error.h"

namespace hearth::sandbox::spawner {

void drop_bounding(uint64_t keep) {
  // The kernel, not a header, knows which one is the last.
  for (int number = 0; ::prctl(PR_CAPBSET_READ, number) >= 0; ++number) {
    if (keep & capability(number)) continue;
    sys::check(::prctl(PR_CAPBSET_DROP, number), "drop bounding capabilities");
  }
}

void set_capabilities(uint64_t permitted_and_effective, uint64_t inheritable) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct sets[2];
  for (int half = 0; half < 2; ++half) {
    sets[half].permitted = sets[half].effective =
        static_cast<uint32_t>(permitted_and_effective >> (32 * half));
    sets[half].inheritable = static_cast<uint32_t>(inheritable >> (32 * half));
  }
  sys::check(::syscall(SYS_capset, &header, sets), "capset");
}

void raise_ambient(uint64_t capabilities) {
  for (int number = 0; capabilities >> number; ++number) {
    if (!(capabilities >> number & 1)) continue;
    sys::check(::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number, 0, 0), "raise ambient");
  }
}

void lock_securebits() {
  // NO_SETUID_FIXUP stays off for good: leaving uid 0 then drops every capability by itself.
  constexpr unsigned long kBits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED |
                                  SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
                                  SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
  sys::check(::prctl(PR_SET_SECUREBITS, kBits, 0, 0, 0), "set securebits");
}

void set_no_new_privileges() {
  sys::check(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "set no_new_privs");
}

void drop_to_spawner() {
  constexpr uint64_t kKept = capability(CAP_SETUID) | capability(CAP_SETGID) |
                             capability(CAP_SYS_ADMIN) | capability(CAP_DAC_READ_SEARCH);
  drop_bounding(kKept);
  lock_securebits();
  set_capabilities(kKept, 0);
  set_no_new_privileges();
}

}  // namespace hearth::sandbox::spawner
