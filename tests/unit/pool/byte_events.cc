// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/pool/byte_events.h"

#include <stdexcept>

#include "tests/unit/pool/checked_pool.h"

namespace hearth::pool {

namespace {

using Phase = CheckedPool::Phase;
constexpr uint64_t kMiB = 1 << 20;

class Bytes {
 public:
  Bytes(const uint8_t* bytes, size_t size) : at_(bytes), end_(bytes + size) {}
  bool empty() const { return at_ == end_; }
  uint8_t next() { return empty() ? 0 : *at_++; }
  uint32_t below(uint32_t bound) { return next() % bound; }

 private:
  const uint8_t* at_;
  const uint8_t* end_;
};

Limits limits_from(Bytes& bytes) {
  Limits limits;
  limits.memory_bytes_max = (128 + 64 * uint64_t{bytes.below(32)}) * kMiB;
  limits.generic_memory_bytes = 16 * uint64_t{bytes.below(8)} * kMiB;
  limits.sandboxes_max = 1 + bytes.below(16);
  limits.waiting_per_function_max = 1 + bytes.below(8);
  limits.waiting_max = 1 + bytes.below(24);
  limits.generic_per_key = bytes.below(3);
  limits.generic_max = bytes.below(5);
  limits.starts_at_once_max = 1 + bytes.below(4);
  limits.wait_max = std::chrono::milliseconds(1 + 200 * bytes.below(50));
  return limits;
}

class Run {
 public:
  Run(const uint8_t* bytes, size_t size) : bytes_(bytes, size), pool_(limits_from(bytes_)) {}

  void all() {
    while (!bytes_.empty()) {
      // Steps from nothing to about four minutes.
      now_ += Duration(int64_t{1} << bytes_.below(29));
      event();
    }
    end();
  }

 private:
  void event() {
    switch (bytes_.below(16)) {
      case 0:
        add();
        break;
      case 1:
        pool_.retire_function(some_function(), now_);
        break;
      case 2:
      case 3:
      case 4:
        pool_.call_arrived(CallId{++last_call_}, some_function(), now_);
        break;
      case 5:
        pool_.call_cancelled(some_call(), now_);
        break;
      case 6:
      case 7:
        pool_.call_finished(some_call(), Finish::kClean, now_);
        break;
      case 8:
        pool_.call_finished(some_call(), Finish::kDoubt, now_);
        break;
      case 9:
      case 10:
        pool_.sandbox_ready(some_sandbox(), now_);
        break;
      case 11:
        pool_.sandbox_gone(some_sandbox(), now_);
        break;
      case 12:
        pool_.start_failed(some_sandbox(), now_);
        break;
      case 13:
        pool_.tick(now_);
        break;
      case 14:
        tenant();
        break;
      case 15:
        answer_all();
        break;
    }
  }

  void add() {
    Function function;
    function.tenant = std::string(1, static_cast<char>('a' + bytes_.below(3)));
    function.name = std::string(1, static_cast<char>('f' + bytes_.below(3)));
    function.memory_bytes = 32 * uint64_t{bytes_.below(16)} * kMiB;
    function.reuse = static_cast<Reuse>(bytes_.below(3));
    function.concurrency_max = bytes_.below(6);
    function.warm_min = bytes_.below(4);
    if (bytes_.below(2)) function.generic_key = function.tenant + "/python3";
    pool_.add_function(FunctionId{++last_function_}, function, now_);
  }

  void tenant() {
    const std::string name(1, static_cast<char>('a' + bytes_.below(3)));
    const TenantLimits limits{bytes_.below(6), bytes_.below(4)};
    pool_.remove_tenant(std::string(1, static_cast<char>('a' + bytes_.below(4))));
    pool_.set_tenant(name, limits);
    pool_.tick(now_);
  }

  // The host does what it was asked to, for every sandbox once.
  void answer_all() {
    std::vector<SandboxId> ids;
    for (const auto& [id, sandbox] : pool_.sandboxes()) ids.push_back(id);
    for (SandboxId id : ids) {
      const auto it = pool_.sandboxes().find(id);
      if (it == pool_.sandboxes().end()) continue;
      if (it->second.phase == Phase::kStopping) {
        pool_.sandbox_gone(id, now_);
      } else {
        pool_.sandbox_ready(id, now_);
      }
    }
  }

  void end() {
    pool_.drain(now_);
    std::vector<CallId> calls;
    for (const auto& [id, call] : pool_.calls()) calls.push_back(id);
    for (CallId id : calls) pool_.call_finished(id, Finish::kClean, now_);
    answer_all();
    if (!pool_.drained()) throw std::logic_error("a drained pool ends when all is answered");
  }

  // Mostly ids that exist, sometimes others.
  FunctionId some_function() { return FunctionId{bytes_.below(last_function_ + 2)}; }
  CallId some_call() { return some(pool_.calls(), last_call_); }
  SandboxId some_sandbox() { return some(pool_.sandboxes(), 1000); }

  template <typename Map>
  typename Map::key_type some(const Map& map, uint64_t otherwise) {
    const uint32_t index = bytes_.below(static_cast<uint32_t>(map.size()) + 1);
    if (index == map.size()) return typename Map::key_type{otherwise};
    return std::next(map.begin(), index)->first;
  }

  Bytes bytes_;
  CheckedPool pool_;
  Time now_{};
  uint64_t last_call_ = 0;
  uint32_t last_function_ = 0;
};

}  // namespace

void run_byte_events(const uint8_t* bytes, size_t size) {
  Run(bytes, size).all();
}

}  // namespace hearth::pool
