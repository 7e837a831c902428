// SPDX-License-Identifier: Apache-2.0
#include "daemon/loop/frame_pool.h"

#include <array>
#include <new>
#include <utility>

#if defined(__SANITIZE_ADDRESS__)
#define HEARTH_FRAMES_ON_HEAP 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HEARTH_FRAMES_ON_HEAP 1
#endif
#endif

namespace hearth::loop {

#ifdef HEARTH_FRAMES_ON_HEAP

void* frame_allocate(std::size_t bytes) {
  return ::operator new(bytes);
}
void frame_free(void* frame, std::size_t bytes) noexcept {
  ::operator delete(frame, bytes);
}

#else

namespace {

constexpr std::size_t kStepBytes = 64;
constexpr std::size_t kClasses = 32;    // frames up to 2 KiB
constexpr std::size_t kKeptMax = 1024;  // per class and thread

struct FreeFrame {
  FreeFrame* next;
};

// One thread's freed frames; what is left is returned when the thread ends.
class FreeLists {
 public:
  constexpr FreeLists() = default;
  ~FreeLists() {
    for (Class& c : classes_) {
      while (c.first) ::operator delete(std::exchange(c.first, c.first->next));
      c.kept = kKeptMax;  // frames freed later than this go straight to the heap
    }
  }

  void* take(std::size_t index) {
    Class& c = classes_[index];
    if (!c.first) return ::operator new((index + 1) * kStepBytes);
    --c.kept;
    return std::exchange(c.first, c.first->next);
  }

  void give(void* frame, std::size_t index) {
    Class& c = classes_[index];
    if (c.kept >= kKeptMax) return ::operator delete(frame);
    ++c.kept;
    c.first = new (frame) FreeFrame{c.first};
  }

 private:
  struct Class {
    FreeFrame* first = nullptr;
    std::size_t kept = 0;
  };
  std::array<Class, kClasses> classes_{};
};

thread_local constinit FreeLists lists;

}  // namespace

void* frame_allocate(std::size_t bytes) {
  std::size_t index = (bytes - 1) / kStepBytes;
  return index < kClasses ? lists.take(index) : ::operator new(bytes);
}

void frame_free(void* frame, std::size_t bytes) noexcept {
  std::size_t index = (bytes - 1) / kStepBytes;
  if (index < kClasses) return lists.give(frame, index);
  ::operator delete(frame);
}

#endif

}  // namespace hearth::loop
