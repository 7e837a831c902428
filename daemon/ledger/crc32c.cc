// SPDX-License-Identifier: Apache-2.0
#include "daemon/ledger/crc32c.h"

#include <array>
#include <cstring>

namespace hearth::ledger {
namespace {

constexpr uint32_t kReversedPolynomial = 0x82f63b78;

constexpr std::array<uint32_t, 256> make_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; i++) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; bit++) {
      value = (value >> 1) ^ ((value & 1) != 0 ? kReversedPolynomial : 0);
    }
    table[i] = value;
  }
  return table;
}

constexpr std::array<uint32_t, 256> kTable = make_table();

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) uint32_t by_instruction(const void* bytes, size_t size) {
  auto* at = static_cast<const uint8_t*>(bytes);
  uint64_t crc = 0xffffffff;
  for (; size >= 8; size -= 8, at += 8) {
    uint64_t word = 0;
    std::memcpy(&word, at, 8);
    crc = __builtin_ia32_crc32di(crc, word);
  }
  auto tail = static_cast<uint32_t>(crc);
  for (; size > 0; size--) tail = __builtin_ia32_crc32qi(tail, *at++);
  return ~tail;
}
#endif

}  // namespace

uint32_t crc32c_portable(const void* bytes, size_t size) {
  auto* at = static_cast<const uint8_t*>(bytes);
  uint32_t crc = 0xffffffff;
  for (; size > 0; size--) crc = (crc >> 8) ^ kTable[(crc ^ *at++) & 0xff];
  return ~crc;
}

uint32_t crc32c(const void* bytes, size_t size) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("sse4.2")) return by_instruction(bytes, size);
#endif
  return crc32c_portable(bytes, size);
}

}  // namespace hearth::ledger
