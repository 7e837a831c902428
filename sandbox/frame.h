// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// The frames between hearthd and a runtime, as hearth-runtime(7) documents them: parsing and
// building, no I/O.
namespace hearth::sandbox::frame {

enum class Type : uint8_t { kHello = 1, kLoad = 2, kReady = 3, kCall = 4, kReply = 5, kError = 6 };

inline constexpr uint32_t kMagic = 0x48545248;  // "HRTH", little-endian
inline constexpr size_t kHeaderBytes = 24;
inline constexpr uint32_t kMetaBytesMax = 64 * 1024;
inline constexpr uint8_t kLastCall = 1;  // flag of kCall: the process serves no further call

struct Header {
  Type type = Type::kHello;
  uint8_t flags = 0;
  uint32_t meta_bytes = 0;
  uint32_t body_bytes = 0;
  uint64_t call = 0;
};

void encode(const Header& header, std::span<std::byte, kHeaderBytes> out);

// nullopt: wrong magic, unknown type, an undefined flag, reserved bits set, or meta beyond
// kMetaBytesMax. The body's bound is the caller's.
std::optional<Header> decode(std::span<const std::byte, kHeaderBytes> in);

// Meta: `name NUL value NUL` ... Both must be free of NUL, the name not empty.
void append_meta(std::string& meta, std::string_view name, std::string_view value);

// Views into `meta`. nullopt: not a list of pairs (odd count, no final NUL, empty name).
using Pairs = std::vector<std::pair<std::string_view, std::string_view>>;
std::optional<Pairs> parse_meta(std::string_view meta);

}  // namespace hearth::sandbox::frame
