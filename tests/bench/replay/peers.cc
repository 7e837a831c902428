// SPDX-License-Identifier: Apache-2.0
// The policies that others published, in one simulated host.
#include <algorithm>
#include <array>
#include <cmath>
#include <list>
#include <queue>
#include <vector>

#include "tests/bench/replay/policy.h"

namespace hearth::replay {
namespace {

constexpr Duration kNever = Duration::max();

struct Kept {
  Duration since{};  // idle from here on
  Duration expires = kNever;
  double priority = 0;
};

// What differs between the policies.
struct Rules {
  virtual ~Rules() = default;
  virtual void called(uint32_t function, Duration now, Duration idle_before) = 0;
  // After a call: until when the sandbox stays (now: it goes), and when another is started ahead of
  // the next call and until when that one stays.
  struct Plan {
    Duration keep_until{}, start_at = kNever, start_until = kNever;
  };
  virtual Plan plan(uint32_t function, Duration now) = 0;
};

double gigabytes(uint64_t bytes) {
  return static_cast<double>(bytes) / (1 << 30);
}
double seconds(Duration time) {
  return static_cast<double>(time.count()) / 1e6;
}

// Calls take an idle sandbox of their function, the one used last, or start one; nobody waits for a
// busy one.
class Simulation {
 public:
  Simulation(const Trace& trace, const Host& host, Rules& rules)
      : trace_(trace), host_(host), rules_(rules), functions_(trace.memory_bytes.size()) {}

  Result run() {
    for (const Arrival& arrival : trace_.arrivals) {
      advance(arrival.at);
      serve(arrival);
    }
    advance(trace_.length);
    for (uint32_t f = 0; f < functions_.size(); ++f)
      while (!functions_[f].idle.empty()) drop(f, functions_[f].idle.begin(), trace_.length);
    return result_;
  }

 private:
  struct Function {
    std::list<Kept> idle;  // the last one was used last
    double frequency = 0;
    Duration idle_since{-1};
    Duration start_at = kNever, start_until = kNever;  // ahead of the next call
  };
  enum class What { kCallEnds, kExpires, kStartsAhead };
  struct Event {
    Duration at;
    What what;
    uint32_t function;
    bool operator>(const Event& other) const { return at > other.at; }
  };

  void advance(Duration until) {
    while (!events_.empty() && events_.top().at <= until) {
      Event event = events_.top();
      events_.pop();
      Function& function = functions_[event.function];
      if (event.what == What::kCallEnds) end_call(event.function, event.at);
      if (event.what == What::kExpires) expire(event.function, event.at);
      if (event.what == What::kStartsAhead && function.start_at == event.at && fits(event.function))
        start_ahead(event.function, event.at);
    }
  }

  void serve(const Arrival& arrival) {
    Function& function = functions_[arrival.function];
    ++result_.calls;
    ++function.frequency;
    Duration idle_before =
        function.idle_since < Duration(0) ? Duration(-1) : arrival.at - function.idle_since;
    rules_.called(arrival.function, arrival.at, idle_before);
    function.start_at = kNever;
    Duration begin = arrival.at;
    if (!function.idle.empty()) {
      drop(arrival.function, std::prev(function.idle.end()), arrival.at);
    } else {
      ++result_.cold;
      begin += host_.start;
      if (!make_room(arrival.function, arrival.at)) {
        ++result_.refused;
        return;
      }
      ++result_.starts;
    }
    busy_bytes_ += trace_.memory_bytes[arrival.function];
    events_.push({begin + arrival.run, What::kCallEnds, arrival.function});
  }

  void end_call(uint32_t f, Duration now) {
    Function& function = functions_[f];
    busy_bytes_ -= trace_.memory_bytes[f];
    function.idle_since = now;
    Rules::Plan plan = rules_.plan(f, now);
    if (plan.keep_until > now) keep(f, now, plan.keep_until);
    function.start_at = plan.start_at;
    function.start_until = plan.start_until;
    if (plan.start_at != kNever) events_.push({plan.start_at, What::kStartsAhead, f});
  }

  void start_ahead(uint32_t f, Duration now) {
    Function& function = functions_[f];
    function.start_at = kNever;
    if (!function.idle.empty()) return;
    ++result_.starts;
    keep(f, now, function.start_until);
  }

  void keep(uint32_t f, Duration now, Duration until) {
    Kept kept{now, until,
              clock_ + functions_[f].frequency * seconds(host_.start) /
                           gigabytes(trace_.memory_bytes[f])};
    functions_[f].idle.push_back(kept);
    idle_bytes_ += trace_.memory_bytes[f];
    if (until != kNever) events_.push({until, What::kExpires, f});
  }

  void expire(uint32_t f, Duration now) {
    std::list<Kept>& idle = functions_[f].idle;
    for (auto it = idle.begin(); it != idle.end();) {
      auto next = std::next(it);
      if (it->expires <= now) drop(f, it, now);
      it = next;
    }
  }

  // From idle to busy or to nothing.
  void drop(uint32_t f, std::list<Kept>::iterator kept, Duration now) {
    uint64_t bytes = trace_.memory_bytes[f];
    result_.idle_gb_s += gigabytes(bytes) * seconds(std::max(Duration(0), now - kept->since));
    idle_bytes_ -= bytes;
    functions_[f].idle.erase(kept);
  }

  bool fits(uint32_t f) const {
    return host_.memory_bytes_max == 0 ||
           busy_bytes_ + idle_bytes_ + trace_.memory_bytes[f] <= host_.memory_bytes_max;
  }

  bool make_room(uint32_t f, Duration now) {
    while (!fits(f)) {
      uint32_t victim = 0;
      const Kept* least = nullptr;
      for (uint32_t i = 0; i < functions_.size(); ++i) {
        if (functions_[i].idle.empty()) continue;
        const Kept& kept = functions_[i].idle.front();
        if (!least || kept.priority < least->priority) least = &kept, victim = i;
      }
      if (!least) return false;
      clock_ = std::max(clock_, least->priority);
      drop(victim, functions_[victim].idle.begin(), now);
      // Without a sandbox a function begins anew.
      if (functions_[victim].idle.empty()) functions_[victim].frequency = 0;
    }
    return true;
  }

  const Trace& trace_;
  Host host_;
  Rules& rules_;
  std::vector<Function> functions_;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  uint64_t busy_bytes_ = 0, idle_bytes_ = 0;
  double clock_ = 0;
  Result result_;
};

struct Fixed : Rules {
  explicit Fixed(Duration time) : idle(time) {}
  void called(uint32_t, Duration, Duration) override {}
  Plan plan(uint32_t, Duration now) override { return {now + idle}; }
  Duration idle;
};

struct Always : Rules {
  void called(uint32_t, Duration, Duration) override {}
  Plan plan(uint32_t, Duration) override { return {kNever}; }
};

// Percentiles, margin and the test for a pattern as published: 5th and 99th percentile widened by a
// tenth, bins of one minute, a pattern when the bins' coefficient of variation is above 2, and no
// use of the histogram while more than half of the idle times lie beyond it. (There, a time series
// forecast takes over; here the sandbox is kept for the range, which is their other fallback.)
struct Histogram : Rules {
  static constexpr uint32_t kBinsMax = 240;
  struct Times {
    std::array<uint32_t, kBinsMax> bins{};
    uint32_t inside = 0, beyond = 0;
  };
  Histogram(size_t functions, Duration histogram_range)
      : times(functions),
        range(histogram_range),
        bins(uint32_t(std::min<int64_t>(kBinsMax, range / std::chrono::minutes(1)))) {}

  void called(uint32_t f, Duration, Duration idle) override {
    if (idle < Duration(0)) return;
    auto bin = static_cast<uint64_t>(idle / std::chrono::minutes(1));
    Times& t = times[f];
    if (bin >= bins) {
      ++t.beyond;
    } else {
      ++t.bins[bin];
      ++t.inside;
    }
  }

  bool has_pattern(const Times& t) const {
    if (t.inside == 0 || t.beyond > t.inside) return false;
    double mean = double(t.inside) / bins, variance = 0;
    for (uint32_t i = 0; i < bins; ++i) variance += (t.bins[i] - mean) * (t.bins[i] - mean);
    return std::sqrt(variance / bins) / mean > 2;
  }

  // The bin in which `part` of the idle times have ended.
  uint32_t percentile(const Times& t, double part) const {
    uint32_t sum = 0;
    for (uint32_t i = 0; i < bins; ++i)
      if ((sum += t.bins[i]) >= part * t.inside && sum > 0) return i;
    return bins - 1;
  }

  Plan plan(uint32_t f, Duration now) override {
    const Times& t = times[f];
    if (!has_pattern(t)) return {now + range};
    using Minutes = std::chrono::duration<double, std::ratio<60>>;
    auto head = std::chrono::duration_cast<Duration>(Minutes(percentile(t, 0.05) * 0.9));
    auto tail = std::chrono::duration_cast<Duration>(Minutes((percentile(t, 0.99) + 1) * 1.1));
    if (head < std::chrono::minutes(1)) return {now + tail};
    return {now, now + head, now + tail};
  }

  std::vector<Times> times;
  Duration range;
  uint32_t bins;
};

std::string minutes(Duration time) {
  return std::to_string(time / std::chrono::minutes(1)) + " min";
}

}  // namespace

Result fixed(const Trace& trace, const Host& host, Duration idle) {
  Fixed rules(idle);
  Result result = Simulation(trace, host, rules).run();
  result.policy = idle == Duration(0) ? "none" : "fixed";
  result.setting = minutes(idle);
  return result;
}

Result hybrid_histogram(const Trace& trace, const Host& host, Duration range) {
  Histogram rules(trace.memory_bytes.size(), range);
  Result result = Simulation(trace, host, rules).run();
  result.policy = "hybrid histogram";
  result.setting = minutes(range);
  return result;
}

Result greedy_dual(const Trace& trace, const Host& host) {
  Always rules;
  Result result = Simulation(trace, host, rules).run();
  result.policy = "greedy dual";
  result.setting = std::to_string(host.memory_bytes_max >> 30) + " GiB";
  return result;
}

}  // namespace hearth::replay
