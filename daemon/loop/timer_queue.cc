// SPDX-License-Identifier: Apache-2.0
#include "daemon/loop/timer_queue.h"

#include "sandbox/sys/error.h"

namespace hearth::loop {

TimerQueue::TimerQueue(uv_loop_t* uv) : timer_(new uv_timer_t{}) {
  uv_timer_init(uv, timer_.get());
  timer_->data = this;
  uv_unref(reinterpret_cast<uv_handle_t*>(timer_.get()));  // only armed entries keep the loop alive
}

void TimerQueue::arm(Entry& entry, Time due) {
  if (entry.due == Time::max()) count_armed(+1);
  if (due <= firing_) due = firing_ + Clock::duration(1);
  if (due == Time::max()) due -= Clock::duration(1);
  entry.due = due;
  if (entry.place != kNowhere && entry.key <= due) return;
  entry.key = due;
  if (entry.place == kNowhere) {
    heap_.push_back(&entry);
    entry.place = heap_.size() - 1;
  }
  sift_up(entry.place);
  if (heap_[0]->key < wake_at_) schedule();
}

void TimerQueue::disarm(Entry& entry) {
  if (entry.due == Time::max()) return;
  entry.due = Time::max();
  count_armed(-1);
}

void TimerQueue::remove(Entry& entry) {
  disarm(entry);
  if (entry.place != kNowhere) erase(entry.place);
}

void TimerQueue::fire_due() {
  wake_at_ = Time::max();
  firing_ = Clock::now();
  while (!heap_.empty() && heap_[0]->key <= firing_) {
    Entry& entry = *heap_[0];
    if (entry.due <= firing_) {
      erase(0);
      disarm(entry);
      entry.fire(entry.argument);
    } else if (entry.due == Time::max()) {
      erase(0);
    } else {
      entry.key = entry.due;
      sift_down(0);
    }
  }
  firing_ = Time::min();
  schedule();
}

void TimerQueue::schedule() {
  if (heap_.empty() || heap_[0]->key >= wake_at_) return;
  wake_at_ = heap_[0]->key;
  // libuv counts milliseconds from its own clock, which is stale while callbacks run.
  uv_update_time(timer_->loop);
  auto left = std::chrono::ceil<std::chrono::milliseconds>(wake_at_ - Clock::now()).count();
  uv_timer_start(
      timer_.get(), [](uv_timer_t* timer) { static_cast<TimerQueue*>(timer->data)->fire_due(); },
      left > 0 ? static_cast<uint64_t>(left) : 0, 0);
}

void TimerQueue::count_armed(int change) {
  armed_ += static_cast<std::size_t>(change);
  auto* handle = reinterpret_cast<uv_handle_t*>(timer_.get());
  if (armed_ == 0) uv_unref(handle);
  if (armed_ == 1 && change > 0) uv_ref(handle);
}

void TimerQueue::put(std::size_t place, Entry* entry) {
  heap_[place] = entry;
  entry->place = place;
}

void TimerQueue::sift_up(std::size_t place) {
  Entry* entry = heap_[place];
  while (place > 0 && entry->key < heap_[(place - 1) / 2]->key) {
    put(place, heap_[(place - 1) / 2]);
    place = (place - 1) / 2;
  }
  put(place, entry);
}

void TimerQueue::sift_down(std::size_t place) {
  Entry* entry = heap_[place];
  for (;;) {
    std::size_t child = 2 * place + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && heap_[child + 1]->key < heap_[child]->key) ++child;
    if (entry->key <= heap_[child]->key) break;
    put(place, heap_[child]);
    place = child;
  }
  put(place, entry);
}

void TimerQueue::erase(std::size_t place) {
  heap_[place]->place = kNowhere;
  Entry* last = heap_.back();
  heap_.pop_back();
  if (place == heap_.size()) return;
  put(place, last);
  sift_up(place);
  sift_down(last->place);
}

}  // namespace hearth::loop
