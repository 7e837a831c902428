// SPDX-License-Identifier: Apache-2.0
#include "sandbox/frame.h"

#include <bit>
#include <cstring>

namespace hearth::sandbox::frame {
namespace {

// As on the wire. Every field is aligned, so the struct has no holes.
struct Wire {
  uint32_t magic;
  uint8_t type;
  uint8_t flags;
  uint16_t reserved;
  uint32_t meta_bytes;
  uint32_t body_bytes;
  uint64_t call;
};
static_assert(sizeof(Wire) == kHeaderBytes);
static_assert(std::endian::native == std::endian::little, "the wire is little-endian");

bool known_type(uint8_t type) {
  return type >= uint8_t(Type::kHello) && type <= uint8_t(Type::kError);
}

// Only calls have a flag so far; a set bit that nobody defined is a peer we do not understand.
uint8_t known_flags(uint8_t type) {
  return type == uint8_t(Type::kCall) ? kLastCall : 0;
}

}  // namespace

void encode(const Header& header, std::span<std::byte, kHeaderBytes> out) {
  Wire wire{kMagic,     uint8_t(header.type), header.flags, 0, header.meta_bytes, header.body_bytes,
            header.call};
  std::memcpy(out.data(), &wire, sizeof wire);
}

std::optional<Header> decode(std::span<const std::byte, kHeaderBytes> in) {
  Wire wire;
  std::memcpy(&wire, in.data(), sizeof wire);
  if (wire.magic != kMagic || !known_type(wire.type)) return std::nullopt;
  if (wire.reserved != 0 || (wire.flags & ~known_flags(wire.type)) != 0) return std::nullopt;
  if (wire.meta_bytes > kMetaBytesMax) return std::nullopt;
  return Header{Type(wire.type), wire.flags, wire.meta_bytes, wire.body_bytes, wire.call};
}

void append_meta(std::string& meta, std::string_view name, std::string_view value) {
  meta.append(name).push_back('\0');
  meta.append(value).push_back('\0');
}

std::optional<Pairs> parse_meta(std::string_view meta) {
  constexpr size_t kUsualPairs = 8;
  Pairs pairs;
  pairs.reserve(kUsualPairs);
  while (!meta.empty()) {
    size_t name_end = meta.find('\0');
    if (name_end == std::string_view::npos || name_end == 0) return std::nullopt;
    size_t value_end = meta.find('\0', name_end + 1);
    if (value_end == std::string_view::npos) return std::nullopt;
    pairs.emplace_back(meta.substr(0, name_end),
                       meta.substr(name_end + 1, value_end - name_end - 1));
    meta.remove_prefix(value_end + 1);
  }
  return pairs;
}

}  // namespace hearth::sandbox::frame
