// SPDX-License-Identifier: Apache-2.0
// The static program of every exec per call: standard input to standard output.
#include <unistd.h>

int main(void) {
  static char buffer[64 * 1024];
  for (;;) {
    ssize_t size = read(0, buffer, sizeof buffer);
    if (size <= 0) return size < 0;
    for (ssize_t at = 0; at < size;) {
      ssize_t wrote = write(1, buffer + at, (size_t)(size - at));
      if (wrote < 0) return 1;
      at += wrote;
    }
  }
}
