// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstring>

#include "sandbox/sys/error.h"
#include "sandbox/sys/fail_point.h"

// In the builds for tests, one named step of a sandbox' set-up can be made to fail once. In the
// installed program the class is empty and its calls are nothing.
namespace hearth::sandbox::spawner {

#ifdef HEARTH_FAULTS
class Faults {
 public:
  void arm(const char* step, int error) { step_ = step, error_ = error; }
  // The errno with which `step` has to fail now, or 0.
  int fires(const char* step) {
    if (std::strcmp(step, step_) != 0) return 0;
    step_ = "";
    return error_;
  }
  // Somebody else's copy of this object takes care of `step`.
  void forget(const char* step) { (void)fires(step); }

 private:
  const char* step_ = "";
  int error_ = 0;
};
#else
class Faults {
 public:
  int fires(const char* step) { return sys::fail_point(step); }
  void forget(const char*) {}
};
#endif

inline void fail_if_armed(Faults& faults, const char* step) {
  if (int error = faults.fires(step)) throw sys::Error(step, "injected fault", error);
}

}  // namespace hearth::sandbox::spawner
