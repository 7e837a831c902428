// SPDX-License-Identifier: Apache-2.0
#include "daemon/free_memory.h"

#include <malloc.h>

namespace hearth::daemon {
namespace {

// Bytes that stay: a call of the largest body and its answer.
constexpr size_t kKept = 12 << 20;

}  // namespace

void FreeMemory::give_back() {
  size_t free = ::mallinfo2().fordblks;
  if (free <= kKept || free == given_back_) return;
  ::malloc_trim(0);
  given_back_ = ::mallinfo2().fordblks;
}

}  // namespace hearth::daemon
