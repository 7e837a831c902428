// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "tests/bench/replay/trace.h"

// One keep-alive policy driven by one trace in simulated time.
namespace hearth::replay {

// What every policy is given alike.
struct Host {
  uint64_t memory_bytes_max = 0;  // 0: enough for anything
  Duration start = std::chrono::milliseconds(250);
};

// A call is cold when it had to wait for a start: in a sandbox started for it, or in one that was
// busy for as long as a start takes.
struct Result {
  std::string policy, setting;
  uint64_t calls = 0, cold = 0, refused = 0, starts = 0;
  double idle_gb_s = 0;  // memory x time of sandboxes that exist and serve nobody
  double cold_share() const {
    return calls == 0 ? 0 : static_cast<double>(cold) / static_cast<double>(calls);
  }
};

// A sandbox is kept for `idle` after each call, then dropped. Zero: none is kept.
Result fixed(const Trace& trace, const Host& host, Duration idle);

// The policy of "Serverless in the Wild": a histogram of a function's idle times in minutes tells
// when to drop a sandbox after a call, when to start one ahead of the next call, and until when to
// keep that. `range` is the histogram's; without a pattern the sandbox is kept for all of it.
Result hybrid_histogram(const Trace& trace, const Host& host, Duration range);

// The policy of "FaasCache" (ASPLOS 2021): all are kept until memory runs out; then those go first
// that have the least calls x cost / size, with a clock that ages what is not used.
Result greedy_dual(const Trace& trace, const Host& host);

// Hearth's own pool/, the code that hearthd runs.
Result hearth_pool(const Trace& trace, const Host& host, Duration idle_max);

}  // namespace hearth::replay
