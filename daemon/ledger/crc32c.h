// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace hearth::ledger {

// CRC-32C (Castagnoli), by the processor's instruction where it has one.
uint32_t crc32c(const void* bytes, size_t size);
uint32_t crc32c_portable(const void* bytes, size_t size);  // the same without the instruction

}  // namespace hearth::ledger
