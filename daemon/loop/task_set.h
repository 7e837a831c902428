// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <exception>
#include <functional>
#include <list>

#include "daemon/loop/event.h"
#include "daemon/loop/task.h"

namespace hearth::loop {

// Owns tasks that run in the background. Each is freed as soon as it has finished; destruction
// cancels what is left. It must not be destroyed by one of its own tasks.
class TaskSet {
 public:
  using Handler = std::function<void(std::exception_ptr)>;
  // `failed` gets the exception that a task let escape; it must not throw.
  TaskSet(Loop& loop, Handler failed);
  ~TaskSet();
  TaskSet(const TaskSet&) = delete;
  TaskSet& operator=(const TaskSet&) = delete;

  void add(Task<void> task);  // runs its first part at once
  std::size_t size() const { return tasks_.size(); }
  Event::Wait empty() { return empty_.wait(); }  // resumes when the set was empty once

 private:
  struct Running {
    TaskSet* set = nullptr;
    Task<void> task;
    Waiter finished;
    std::list<Running>::iterator self;
  };
  void finish(std::list<Running>::iterator running);

  Loop& loop_;
  Handler failed_;
  Event empty_;
  std::list<Running> tasks_;
};

}  // namespace hearth::loop
