// SPDX-License-Identifier: Apache-2.0
#include <pthread.h>
#include <sys/random.h>

#include <algorithm>
#include <cstring>
#include <mutex>

#include "daemon/ledger/record.h"
#include "daemon/ledger/timestamp.h"
#include "sandbox/sys/error.h"

namespace hearth::ledger {
namespace {

constexpr char kAlphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
constexpr size_t kTextSize = std::tuple_size_v<decltype(Ulid::Characters::of)>;
constexpr size_t kTimeBytes = 6;
constexpr size_t kRandomBytes = 10;

// Value of one character, or -1. As Crockford's alphabet says, case does not matter and the letters
// that people misread (I, L, O) stand for the digits they look like.
int digit_value(char c) {
  if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  if (c == 'I' || c == 'L') c = '1';
  if (c == 'O') c = '0';
  if (c == '\0') return -1;
  const char* at = std::strchr(kAlphabet, c);
  return at == nullptr ? -1 : static_cast<int>(at - kAlphabet);
}

void put_time(Ulid& id, uint64_t ms) {
  for (size_t i = 0; i < kTimeBytes; i++) {
    id.bytes[i] = static_cast<uint8_t>(ms >> (8 * (kTimeBytes - 1 - i)));
  }
}

// Makes ids that always rise, also when the clock stands still or steps back. Random bytes come
// from the kernel in blocks, so that a call's id costs no system call.
class Generator {
 public:
  static Generator& instance() {
    static Generator generator;
    return generator;
  }

  Ulid next(uint64_t now_ms) {
    std::lock_guard lock(mutex_);
    if (now_ms > last_ms_) {
      start(now_ms);
    } else if (!increment()) {
      start(last_ms_ + 1);  // 2^80 ids in one millisecond
    }
    return last_;
  }

 private:
  // A forked child must not hand out the ids that its parent is about to hand out.
  Generator() {
    pthread_atfork([] { instance().mutex_.lock(); }, [] { instance().mutex_.unlock(); },
                   [] {
                     instance().used_ = sizeof(pool_);
                     instance().last_ms_ = 0;
                     instance().mutex_.unlock();
                   });
  }

  void start(uint64_t ms) {
    if (used_ + kRandomBytes > sizeof(pool_)) {
      // At most 256 bytes: the kernel gives them whole and without EINTR.
      sys::check(::getrandom(pool_, sizeof(pool_), 0), "getrandom");
      used_ = 0;
    }
    put_time(last_, ms);
    std::memcpy(last_.bytes.data() + kTimeBytes, pool_ + used_, kRandomBytes);
    used_ += kRandomBytes;
    last_ms_ = ms;
  }

  bool increment() {
    for (size_t i = last_.bytes.size(); i > kTimeBytes; i--) {
      if (++last_.bytes[i - 1] != 0) return true;
    }
    return false;
  }

  std::mutex mutex_;
  uint64_t last_ms_ = 0;
  Ulid last_;
  uint8_t pool_[250] = {};
  size_t used_ = sizeof(pool_);
};

}  // namespace

Ulid Ulid::make() {
  return Generator::instance().next(now_us() / 1000);
}

Ulid::Characters Ulid::characters() const {
  Characters out;
  // 26 characters hold 130 bits: the first one only has three.
  uint32_t bits = 0;
  int bit_count = 2;
  size_t at = 0;
  for (uint8_t byte : bytes) {
    bits = (bits << 8) | byte;
    bit_count += 8;
    while (bit_count >= 5) {
      bit_count -= 5;
      out.of[at++] = kAlphabet[(bits >> bit_count) & 31];
    }
  }
  return out;
}

uint64_t Ulid::unix_ms() const {
  uint64_t ms = 0;
  for (size_t i = 0; i < kTimeBytes; i++) ms = ms << 8 | bytes[i];
  return ms;
}

bool Ulid::parse(const std::string& text, Ulid* out) {
  if (text.size() != kTextSize) return false;
  Ulid id;
  uint32_t bits = 0;
  int bit_count = -2;
  size_t at = 0;
  for (size_t i = 0; i < kTextSize; i++) {
    int value = digit_value(text[i]);
    if (value < 0 || (i == 0 && value > 7)) return false;
    bits = (bits << 5) | static_cast<uint32_t>(value);
    bit_count += 5;
    if (bit_count >= 8) {
      bit_count -= 8;
      id.bytes[at++] = static_cast<uint8_t>(bits >> bit_count);
    }
  }
  *out = id;
  return true;
}

Ulid first_ulid_of(uint64_t unix_us) {
  constexpr uint64_t kTimeMax = (uint64_t{1} << 48) - 1;
  Ulid id;
  put_time(id, std::min(unix_us / 1000, kTimeMax));
  return id;
}

}  // namespace hearth::ledger
