// SPDX-License-Identifier: Apache-2.0
#include "daemon/loop/task_set.h"

#include <utility>

namespace hearth::loop {

TaskSet::TaskSet(Loop& loop, Handler failed)
    : loop_(loop), failed_(std::move(failed)), empty_(loop) {
  empty_.set();
}

TaskSet::~TaskSet() {
  while (!tasks_.empty()) tasks_.pop_front();
}

void TaskSet::add(Task<void> task) {
  empty_.reset();
  tasks_.emplace_back();
  auto running = std::prev(tasks_.end());
  running->set = this;
  running->self = running;
  running->task = std::move(task);
  running->finished.park(
      [](void* argument) {
        auto* done = static_cast<Running*>(argument);
        done->set->finish(done->self);
      },
      &*running);
  // A task that finishes at once is freed here: its waiter must not be queued for a place that is
  // gone.
  running->task.start(loop_);
  if (running->task.done()) return finish(running);
  running->task.set_continuation(&running->finished);
}

void TaskSet::finish(std::list<Running>::iterator running) {
  std::exception_ptr error;
  try {
    running->task.take();
  } catch (...) {
    error = std::current_exception();
  }
  tasks_.erase(running);
  if (error) failed_(error);
  if (tasks_.empty()) empty_.set();
}

}  // namespace hearth::loop
