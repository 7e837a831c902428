// SPDX-License-Identifier: Apache-2.0
// A function for native_test.py, compiled as C and, by native_function.cc, as C++. What it does
// stands in the meta pair `path`.
#include "hearth.h"

#ifdef __cplusplus
#include <stdexcept>
#endif

static char greeting[64];

static int initialise(const char *handler_name) {
  const char *wanted = getenv("GREETING");
  snprintf(greeting, sizeof greeting, "%s from %s", wanted != NULL ? wanted : "hello",
           handler_name);
  printf("initialised\n");
  return getenv("REFUSE") != NULL ? 42 : 0;
}

static int show(const hearth_event *event, hearth_reply *reply) {
  const char *header = hearth_header(event, "X-Some");
  hearth_content_type(reply, "text/plain");
  hearth_printf(reply, "%s|%s|", greeting, event->request_id);
  hearth_printf(reply, "%s|", header != NULL ? header : "none");
  hearth_printf(reply, "%d|", hearth_meta(event, "missing") == NULL);
  const int64_t left = hearth_remaining_ms(event);
  hearth_printf(reply, "%s", left == INT64_MAX ? "never" : left > 0 ? "later" : "now");
  return hearth_write(reply, "", 1);
}

static int set_fields(const hearth_event *event, hearth_reply *reply) {
  int rc = hearth_status(reply, atoi(event->body));
  if (rc == 0) rc = hearth_set_header(reply, "X-Upper", "one");
  if (rc == 0) rc = hearth_set_header(reply, "Content-Type", "text/x");
  return rc != 0 ? rc : hearth_set_header(reply, "set-cookie", "a=b");
}

// Headers until one is refused.
static int overflow(hearth_reply *reply) {
  char value[1001];
  memset(value, 'v', sizeof value - 1);
  value[sizeof value - 1] = '\0';
  for (int i = 0; i < 100; ++i) {
    if (hearth_set_header(reply, "x", value) != 0) return -1;
  }
  return 0;
}

static int handle(const hearth_event *event, hearth_reply *reply) {
  const char *path = hearth_meta(event, "path");
  if (path == NULL) return hearth_body(reply, event->body, event->size);
  if (strcmp(path, "copy") == 0) {
    hearth_body(reply, "lost", 4);
    hearth_body(reply, event->body, event->size);
    printf("%zu bytes", event->size);
    return hearth_write(reply, "+", 1);
  }
  if (strcmp(path, "show") == 0) return show(event, reply);
  if (strcmp(path, "fields") == 0) return set_fields(event, reply);
  if (strcmp(path, "overflow") == 0) return overflow(reply);
  if (strcmp(path, "split") == 0) return hearth_set_header(reply, "x", "a\r\nb: c");
  if (strcmp(path, "name") == 0) return hearth_set_header(reply, "a b", "c");
  if (strcmp(path, "empty") == 0) return 0;
  if (strcmp(path, "seven") == 0) return 7;
  if (strcmp(path, "exit") == 0) exit(9);
  if (strcmp(path, "abort") == 0) abort();
#ifdef __cplusplus
  if (strcmp(path, "throw") == 0) throw std::runtime_error("thrown");
  if (strcmp(path, "throw int") == 0) throw 1;
#endif
  return hearth_fail(reply, "Unknown", path);
}

HEARTH_MAIN_INIT(initialise, handle)
