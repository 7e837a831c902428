// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>

namespace hearth::http {

// What one client, and all clients together, may cost. Each is hit by a test.
struct Limits {
  uint32_t header_bytes_max = 32 * 1024;  // request line and headers together
  uint32_t headers_max = 100;
  uint32_t uri_bytes_max = 8 * 1024;
  uint64_t body_bytes_max = 6 << 20;          // unless the route admits more
  uint64_t response_bytes_max = 6 << 20;      // of an answer in one piece; streams are not bounded
  uint32_t read_ahead_bytes_max = 64 * 1024;  // of pipelined requests behind the one being served
  uint32_t connections_max = 16 * 1024;
  uint64_t buffered_bytes_max = 256 << 20;  // bodies and unsent answers of all connections

  std::chrono::milliseconds idle_time_max{75'000};  // between two requests
  std::chrono::milliseconds header_time_max{
      10'000};  // from the first byte to the end of the headers
  // A body must bring, and an answer must lose, this many bytes in every such period (or end).
  std::chrono::milliseconds body_period{10'000};
  uint32_t body_bytes_per_period_min = 4 * 1024;
  std::chrono::milliseconds write_period{30'000};
  uint32_t write_bytes_per_period_min = 4 * 1024;
  // How long a refused client may go on sending what nobody reads, so that it gets to see the
  // refusal.
  std::chrono::milliseconds linger_time_max{2'000};
};

}  // namespace hearth::http
