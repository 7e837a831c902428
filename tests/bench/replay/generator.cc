// SPDX-License-Identifier: Apache-2.0
// The numbers are those of "Serverless in the Wild" (USENIX ATC 2020), which describes two weeks of
// all functions of one cloud: figure 5 (rates), figure 6 (regularity), figure 7 and 8 (the fits of
// run times and memory), table 1 (triggers).
#include <algorithm>
#include <cmath>
#include <random>

#include "tests/bench/replay/trace.h"

namespace hearth::replay {
namespace {

constexpr double kHour = 3600, kDay = 24 * kHour;

Duration from_seconds(double seconds) {
  return Duration(static_cast<int64_t>(seconds * 1e6));
}

// 45 % of the applications are called less than once an hour, 81 % less than once a minute: a
// log-normal distribution through these two points.
double rate_of(Published& random, double rate_max) {
  constexpr double kMeanLog10PerDay = 1.603, kSigmaLog10 = 1.771;
  double per_day = std::pow(10, kMeanLog10PerDay + kSigmaLog10 * random.normal());
  return std::min(per_day / kDay, rate_max);
}

// Timers fire each 1, 5, 15 … minutes, not at any period.
double timer_period(double rate) {
  constexpr double kPeriods[] = {60,        120,       300,       600,       900,        1800,
                                 1 * kHour, 2 * kHour, 4 * kHour, 6 * kHour, 12 * kHour, 1 * kDay};
  double wanted = 1 / rate;
  for (double period : kPeriods)
    if (period >= wanted) return period;
  return kDay;
}

class Generator {
 public:
  explicit Generator(const Shape& shape)
      : shape_(shape), random_(shape.seed), seconds_(shape.hours * kHour) {}

  Trace run() {
    trace_.name = "generated";
    trace_.length = from_seconds(seconds_);
    for (uint32_t function = 0; function < shape_.functions; ++function) {
      trace_.memory_bytes.push_back(random_.memory_bytes());
      add_calls(function);
    }
    sort(trace_);
    return std::move(trace_);
  }

 private:
  void add_calls(uint32_t function) {
    double rate = rate_of(random_, shape_.rate_max);
    double mean_run = static_cast<double>(random_.mean_run().count()) / 1e6;
    double kind = random_.uniform();
    if (kind < 0.29) return add_timer(function, rate, mean_run);   // table 1: applications by timer
    if (kind < 0.60) return add_bursts(function, rate, mean_run);  // figure 6: variation above 1
    add_random(function, rate, mean_run);
  }

  void add(uint32_t function, double at, double mean_run) {
    if (at < 0 || at >= seconds_) return;
    // Single runs scatter around their function's mean.
    double run = mean_run * std::exp(0.3 * random_.normal());
    trace_.arrivals.push_back({from_seconds(at), function, from_seconds(std::min(run, 300.0))});
  }

  void add_timer(uint32_t function, double rate, double mean_run) {
    double period = timer_period(rate);
    for (double at = random_.uniform() * period; at < seconds_; at += period)
      add(function, at + 0.5 * random_.uniform(), mean_run);  // a timer is a little late
  }

  // Poisson arrivals that follow the day: at night half as many as at noon.
  void add_random(uint32_t function, double rate, double mean_run) {
    constexpr double kSwing = 1.0 / 3;
    double peak = rate * (1 + kSwing);
    double phase = random_.uniform() * kDay;
    for (double at = 0; (at += random_.exponential() / peak) < seconds_;) {
      double now = rate * (1 + kSwing * std::sin(2 * M_PI * (at + phase) / kDay));
      if (random_.uniform() * peak < now) add(function, at, mean_run);
    }
  }

  // Heavy-tailed silence, then some calls close together.
  void add_bursts(uint32_t function, double rate, double mean_run) {
    double burst = 1 + std::floor(std::pow(random_.uniform(), -0.5));  // calls of a burst, mean 3
    double shape = 1.5;                                                // a Pareto tail, finite mean
    double least = burst / rate * (shape - 1) / shape;
    for (double at = -random_.uniform() * 3 * least; at < seconds_;) {
      double within = at;
      double calls = 1 + std::floor(random_.exponential() * burst);
      for (double i = 0; i < calls; ++i) {
        add(function, within, mean_run);
        within += random_.exponential() * std::min(5.0, 0.1 / rate);
      }
      at = std::max(within, at + least * std::pow(random_.uniform() + 1e-9, -1 / shape));
    }
  }

  Shape shape_;
  Published random_;
  double seconds_;
  Trace trace_;
};

}  // namespace

struct Published::State {
  explicit State(uint64_t seed) : engine(seed) {}
  std::mt19937_64 engine;
  std::normal_distribution<> normal;
  std::exponential_distribution<> exponential;
};

Published::Published(uint64_t seed) : state_(new State(seed)) {}
Published::~Published() {
  delete state_;
}

double Published::uniform() {
  return std::generate_canonical<double, 53>(state_->engine);
}
double Published::normal() {
  return state_->normal(state_->engine);
}
double Published::exponential() {
  return state_->exponential(state_->engine);
}

// Log-normal, in seconds: -0.38 and 2.36.
Duration Published::mean_run() {
  double seconds = std::exp(-0.38 + 2.36 * normal());
  return from_seconds(std::clamp(seconds, 0.001, 60.0));
}

// Burr, in MB: c = 11.652, k = 0.221, lambda = 107.083.
uint64_t Published::memory_bytes() {
  double megabytes = 107.083 * std::pow(std::pow(1 - uniform(), -1 / 0.221) - 1, 1 / 11.652);
  return static_cast<uint64_t>(std::clamp(megabytes, 16.0, 1536.0) * (1 << 20));
}

void sort(Trace& trace) {
  std::stable_sort(trace.arrivals.begin(), trace.arrivals.end(),
                   [](const Arrival& a, const Arrival& b) { return a.at < b.at; });
}

Trace generate(const Shape& shape) {
  return Generator(shape).run();
}

}  // namespace hearth::replay
