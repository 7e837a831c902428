/* SPDX-License-Identifier: Apache-2.0
 *
 * An addon that forks a running node: the experiment of ./run, no part of Hearth.
 * V8 maps its heap MADV_DONTFORK; a child without it dies at its first step of JavaScript. */
#include <node_api.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

static napi_value number(napi_env env, int64_t value) {
  napi_value made;
  napi_create_int64(env, value, &made);
  return made;
}

static int64_t argument(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value given;
  int64_t value = 0;
  napi_get_cb_info(env, info, &count, &given, NULL, NULL);
  napi_get_value_int64(env, given, &value);
  return value;
}

static void let_all_maps_be_forked(void) {
  FILE* maps = fopen("/proc/self/maps", "re");
  char line[4096];
  unsigned long begin, end;
  if (!maps) return;
  while (fgets(line, sizeof line, maps)) {
    if (sscanf(line, "%lx-%lx", &begin, &end) == 2) /* [vsyscall] refuses, which is fine */
      madvise((void*)begin, end - begin, MADV_DOFORK);
  }
  fclose(maps);
}

/* () -> the child's pid, 0 in the child, -errno */
static napi_value fork_node(napi_env env, napi_callback_info info) {
  (void)info;
  uv_loop_t* loop;
  napi_get_uv_event_loop(env, &loop);
  let_all_maps_be_forked();
  pid_t pid = fork();
  if (pid == 0) uv_loop_fork(loop);
  return number(env, pid);
}

/* (pid) -> its wait status, once it ended */
static napi_value wait_for(napi_env env, napi_callback_info info) {
  int status = -1;
  waitpid((pid_t)argument(env, info), &status, 0);
  return number(env, status);
}

/* (pid) -> its wait status, or -1 while it runs */
static napi_value poll_for(napi_env env, napi_callback_info info) {
  int status = -1;
  return number(env, waitpid((pid_t)argument(env, info), &status, WNOHANG) > 0 ? status : -1);
}

/* (status): ends at once, without node's own end */
static napi_value leave(napi_env env, napi_callback_info info) {
  _exit((int)argument(env, info));
}

/* () -> microseconds of processor time of the ended children */
static napi_value children_cpu(napi_env env, napi_callback_info info) {
  (void)info;
  struct rusage used;
  getrusage(RUSAGE_CHILDREN, &used);
  return number(env, (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000L +
                         used.ru_utime.tv_usec + used.ru_stime.tv_usec);
}

NAPI_MODULE_INIT() {
  const struct {
    const char* name;
    napi_callback function;
  } all[] = {{"fork", fork_node}, {"wait", wait_for},  {"poll", poll_for},
             {"leave", leave},    {"childrenCpu", children_cpu}};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    napi_value function;
    napi_create_function(env, all[i].name, NAPI_AUTO_LENGTH, all[i].function, NULL, &function);
    napi_set_named_property(env, exports, all[i].name, function);
  }
  return exports;
}
