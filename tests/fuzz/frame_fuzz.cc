// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <cstring>
#include <string_view>

#include "sandbox/frame.h"
#include "sandbox/sys/error.h"

using namespace hearth::sandbox;

// A header and the meta behind it, as a runtime's bytes reach hearthd. What is accepted must encode
// to the same bytes.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  if (size < frame::kHeaderBytes) return 0;
  auto in = std::as_bytes(std::span(bytes, size)).first<frame::kHeaderBytes>();
  if (std::optional<frame::Header> header = frame::decode(in)) {
    std::byte again[frame::kHeaderBytes];
    frame::encode(*header, again);
    HEARTH_CHECK(std::memcmp(again, bytes, sizeof again) == 0);
  }
  std::string_view meta(reinterpret_cast<const char*>(bytes) + frame::kHeaderBytes,
                        size - frame::kHeaderBytes);
  if (std::optional<frame::Pairs> pairs = frame::parse_meta(meta)) {
    std::string again;
    for (auto [name, value] : *pairs) frame::append_meta(again, name, value);
    HEARTH_CHECK(again == meta);
  }
  return 0;
}
