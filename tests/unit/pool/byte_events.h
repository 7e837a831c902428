// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace hearth::pool {

// Reads bytes as a sequence of events for a CheckedPool, in any order and about any id, and then
// lets everything end. Throws std::logic_error if the pool breaks a promise on the way, or has
// forgotten a call or a sandbox at the end.
void run_byte_events(const uint8_t* bytes, size_t size);

}  // namespace hearth::pool
