// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace hearth::daemon {

// The C library keeps what was freed, to use it again: without that each large body would cost a
// page fault for each of its pages. So after a burst of them the daemon would stay as large as they
// were together; whoever calls this once in a while gives it back.
class FreeMemory {
 public:
  void give_back();

 private:
  size_t given_back_ = 0;  // bytes: what was free after that, and is not worth another attempt
};

}  // namespace hearth::daemon
