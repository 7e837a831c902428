// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sandbox/sys/build_options.h"

#ifdef HEARTH_FAIL_POINTS
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#endif

// In a build with -Dfail_points=true, a test can have a process wait at a named step, or have the
// step fail. In every other build these functions are empty.
namespace hearth::sys {

#ifdef HEARTH_FAIL_POINTS
// The file that HEARTH_FAIL_POINTS names, mapped shared: the test and every process of an instance
// see the same bytes, also those that left the file system behind.
struct FailPoints {
  enum State : int { kIdle, kArmed, kReached, kOver };
  std::atomic<int> state;
  int error;  // 0: wait until the state is another one
  char name[120];
};

inline FailPoints* open_fail_points() {
  const char* path = ::getenv("HEARTH_FAIL_POINTS");
  int fd = path ? ::open(path, O_RDWR | O_CLOEXEC) : -1;
  struct stat status {};
  if (fd < 0 || ::fstat(fd, &status) != 0 || status.st_size < off_t(sizeof(FailPoints)))
    return nullptr;
  void* at = ::mmap(nullptr, sizeof(FailPoints), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  (void)::close(fd);
  return at == MAP_FAILED ? nullptr : static_cast<FailPoints*>(at);
}

// Before main, so before a process gives up its rights, its environment or its descriptors.
inline FailPoints* const fail_points = open_fail_points();

// The errno with which the step has to fail now, or 0.
inline int fail_point(const char* name) {
  FailPoints* points = fail_points;
  if (!points || points->state != FailPoints::kArmed || std::strcmp(points->name, name) != 0)
    return 0;
  int error = points->error, armed = FailPoints::kArmed;
  if (!points->state.compare_exchange_strong(armed,
                                             error ? FailPoints::kOver : FailPoints::kReached))
    return 0;
  while (points->state == FailPoints::kReached) ::usleep(200);
  return error;
}
#else
constexpr int fail_point(const char*) {
  return 0;
}
#endif

}  // namespace hearth::sys
