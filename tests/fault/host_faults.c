// SPDX-License-Identifier: Apache-2.0
// Preloaded into hearthd by tests/support/host_faults.py: a disk that refuses some files, and a
// wall clock that is set. HEARTH_HOST_FAULTS names a file that the test changes: the errno of each
// write (0: none), the seconds by which the clock is off, and a part of the refused files' paths.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

struct faults {
  volatile int64_t write_errno, clock_offset_s;
  char refused[64];
};
static struct faults none;
static struct faults* faults = &none;

__attribute__((constructor)) static void attach(void) {
  const char* path = getenv("HEARTH_HOST_FAULTS");
  int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
  if (fd < 0) return;
  void* at = mmap(NULL, sizeof *faults, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  (void)close(fd);
  if (at != MAP_FAILED) faults = at;
}

// Not what is written through a mapping: the in-flight table.
static int refuses(int fd) {
  char link[32], path[512];
  if (faults->write_errno == 0) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t size = readlink(link, path, sizeof path - 1);
  if (size < 0) return 0;
  path[size] = '\0';
  if (!strstr(path, faults->refused)) return 0;
  errno = (int)faults->write_errno;
  return 1;
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void* bytes, size_t size) {
  return refuses(fd) ? -1 : NEXT(write)(fd, bytes, size);
}
ssize_t pwrite64(int fd, const void* bytes, size_t size, off64_t at) {
  return refuses(fd) ? -1 : NEXT(pwrite64)(fd, bytes, size, at);
}
ssize_t pwrite(int fd, const void* bytes, size_t size, off_t at) {
  return refuses(fd) ? -1 : NEXT(pwrite)(fd, bytes, size, at);
}
int fdatasync(int fd) {
  return refuses(fd) ? -1 : NEXT(fdatasync)(fd);
}
int fsync(int fd) {
  return refuses(fd) ? -1 : NEXT(fsync)(fd);
}

int clock_gettime(clockid_t clock, struct timespec* time) {
  int rc = NEXT(clock_gettime)(clock, time);
  if (rc == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
    time->tv_sec += faults->clock_offset_s;
  return rc;
}
int gettimeofday(struct timeval* time, void* zone) {
  int rc = NEXT(gettimeofday)(time, zone);
  if (rc == 0) time->tv_sec += faults->clock_offset_s;
  return rc;
}
