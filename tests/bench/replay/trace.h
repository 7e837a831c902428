// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

// What arrives at a host, as one list of calls in order of time.
namespace hearth::replay {

using Duration = std::chrono::microseconds;

struct Arrival {
  Duration at{};  // since the trace's begin
  uint32_t function = 0;
  Duration run{};
};

struct Trace {
  std::string name;
  Duration length{};
  std::vector<uint64_t> memory_bytes;  // by function
  std::vector<Arrival> arrivals;       // sorted by `at`
};

struct Shape {
  uint32_t functions = 1000;
  double hours = 24;
  uint64_t seed = 1;
  // Calls per second that one function makes at most on average: the tail of the rates is so heavy
  // that a few functions without this bound would be the whole trace.
  double rate_max = 1;
};

// Functions as a public cloud saw them: rates over eight orders of magnitude, timers, and arrivals
// in bursts beside those at random. Where each number comes from is said in generator.cc.
Trace generate(const Shape& shape);

// The Azure Functions traces. 2019: `calls` is a day's invocations_per_function file (calls of each
// minute, spread over it at random), `durations` and `memory` that day's files of the same names,
// or empty for the published distributions. 2021: `calls` is the file of single calls (app, func,
// end_timestamp, duration in seconds). Which of the two it is, the header says. Throws
// std::runtime_error that names file, line and what is wrong.
Trace read_azure(const std::string& calls, const std::string& durations, const std::string& memory,
                 uint64_t seed);

// Published distributions, for what a trace leaves out.
class Published {
 public:
  explicit Published(uint64_t seed);
  ~Published();
  Published(const Published&) = delete;
  Published& operator=(const Published&) = delete;
  Duration mean_run();      // of a function
  uint64_t memory_bytes();  // of a function's process
  double uniform();         // [0, 1)
  double normal();
  double exponential();  // mean 1

 private:
  struct State;
  State* state_;
};

void sort(Trace& trace);

}  // namespace hearth::replay
