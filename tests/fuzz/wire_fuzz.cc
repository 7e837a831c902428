// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdint>
#include <span>

#include "sandbox/sys/error.h"
#include "sandbox/wire.h"

using namespace hearth::sandbox;

// Any bytes as a request and as an answer. What is accepted must encode to the same bytes: there is
// one way to say each thing.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  auto in = std::as_bytes(std::span(bytes, size));
  if (std::optional<wire::Decoded> decoded = wire::decode_request(in)) {
    if (auto* request = std::get_if<wire::Request>(&*decoded)) {
      HEARTH_CHECK(std::ranges::equal(wire::encode(*request), in));
    } else {
      HEARTH_CHECK(!std::get<wire::BadField>(*decoded).field.empty());
    }
  }
  if (std::optional<wire::Answer> answer = wire::decode_answer(in)) {
    HEARTH_CHECK(std::ranges::equal(wire::encode(*answer), in));
  }
  return 0;
}
