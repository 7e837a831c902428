// SPDX-License-Identifier: Apache-2.0
// Threads bound to processors, by the library and by OpenMP, as numeric programs start them.
#define _GNU_SOURCE
#include <omp.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

int main(void) {
  cpu_set_t processors;
  pthread_getaffinity_np(pthread_self(), sizeof processors, &processors);
  printf("affinity %d\n", pthread_setaffinity_np(pthread_self(), sizeof processors, &processors));
  struct sched_param parameters = {0};
  printf("batch %d\n", pthread_setschedparam(pthread_self(), SCHED_BATCH, &parameters));
  struct rlimit limit;
  printf("limit %d\n", prlimit(getpid(), RLIMIT_NOFILE, NULL, &limit));
  long sum = 0;
#pragma omp parallel for reduction(+ : sum) num_threads(4)
  for (long i = 0; i < 100000; ++i) sum += i;
  printf("sum %ld\n", sum);
  return 0;
}
