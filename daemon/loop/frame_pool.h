// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace hearth::loop {

// Memory for coroutine frames. A call makes a handful of frames whose sizes repeat, so freed ones
// are kept in per-thread lists by size, a bounded number each, and the hot path does not reach
// malloc. Under AddressSanitizer every frame goes to the heap, so that a use after destruction is
// seen.
void* frame_allocate(std::size_t bytes);
void frame_free(void* frame, std::size_t bytes) noexcept;

}  // namespace hearth::loop
