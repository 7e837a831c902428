// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>

#include "tests/unit/pool/byte_events.h"

// Any bytes are a sequence of events. A broken promise is an exception that nobody catches.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  hearth::pool::run_byte_events(bytes, size);
  return 0;
}
