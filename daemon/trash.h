// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "daemon/loop/loop.h"
#include "daemon/loop/task.h"
#include "daemon/loop/task_set.h"

namespace hearth::daemon {

// Removes folders off the loop thread: those of a bundle with thousands of files take seconds. What
// is thrown away is out of its place at once, by a rename, so that its name can be used again; what
// a stop leaves in the trash is removed at the next start.
class Trash {
 public:
  // `folder` is on the file system of what is thrown away.
  Trash(loop::Loop& loop, std::string folder);

  void empty();  // at start; blocking
  // Failures are logged. What does not exist is gone already.
  void take(const std::string& path);

 private:
  loop::Task<void> remove(std::string path);

  loop::Loop& loop_;
  std::string folder_;
  uint64_t next_ = 1;
  loop::TaskSet removals_;
};

}  // namespace hearth::daemon
