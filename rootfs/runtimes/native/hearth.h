// SPDX-License-Identifier: Apache-2.0
//
// hearth.h: write a Hearth function in C (C11) or C++ as one program. Header only; see
// hearth-runtime(7).
//
//   #include <hearth/hearth.h>
//
//   static int handle(const hearth_event *event, hearth_reply *reply) {
//     if (event->size == 0) return hearth_fail(reply, "EmptyBody", "send some bytes");
//     hearth_content_type(reply, "application/octet-stream");
//     return hearth_body(reply, event->body, event->size);
//   }
//   HEARTH_MAIN(handle)
//
// A handler returns 0 for success. Any other value ends the call as an error: the one given to
// hearth_fail, or one that names the returned number. Everything that `event` points to is valid
// until the handler returns. In C++, an exception that leaves the handler ends the call as an error
// too. Include this header first, or compile with -D_POSIX_C_SOURCE=200809L or -std=gnu11.
#ifndef HEARTH_HEARTH_H
#define HEARTH_HEARTH_H

#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifdef __GNUC__
#define HEARTH_UNUSED __attribute__((unused))
#define HEARTH_PRINTF(text, rest) __attribute__((format(printf, text, rest)))
#else
#define HEARTH_UNUSED
#define HEARTH_PRINTF(text, rest)
#endif

// ---- What a handler uses ----

typedef struct hearth_event {
  const char *body;  // never NULL; followed by a NUL that `size` does not count
  size_t size;
  const char *request_id;
  int64_t deadline_ms;    // Unix time in milliseconds at which the call is killed; 0: unknown
  const char *meta;       // all pairs, `name NUL value NUL` ...
  size_t meta_size;
} hearth_event;

typedef struct hearth_reply hearth_reply;

typedef int (*hearth_handler)(const hearth_event *event, hearth_reply *reply);
typedef int (*hearth_initialiser)(const char *handler_name);

// The program: `int main` that serves calls with `handler`. HEARTH_MAIN_INIT first calls
// `initialise` once, after the function's environment is set; a value other than 0 fails the load,
// so no call ever arrives.
#define HEARTH_MAIN(handler) \
  int main(void) { return hearth_serve(NULL, (handler)); }
#define HEARTH_MAIN_INIT(initialise, handler) \
  int main(void) { return hearth_serve((initialise), (handler)); }

// The first value of `name` in the call's meta ("method", "path", "query", "trigger", …), or NULL.
HEARTH_UNUSED static const char *hearth_meta(const hearth_event *event, const char *name);

// The first request header of that name, in any case of letters, or NULL. Only calls by HTTP have
// headers.
HEARTH_UNUSED static const char *hearth_header(const hearth_event *event, const char *name);

// Milliseconds until the deadline, 0 when it has passed, INT64_MAX without one.
HEARTH_UNUSED static int64_t hearth_remaining_ms(const hearth_event *event);

// Each of these returns 0, or -1 when the call is failed: out of memory, or a value that cannot be
// sent. HTTP status, 200 to 599; 200 unless set.
HEARTH_UNUSED static int hearth_status(hearth_reply *reply, int status);
HEARTH_UNUSED static int hearth_content_type(hearth_reply *reply, const char *value);
HEARTH_UNUSED static int hearth_set_header(hearth_reply *reply, const char *name,
                                           const char *value);

// The answer's bytes, not copied: `data` must stay as it is until the next call of the handler (so:
// the event's body, static memory, or memory freed by the next call). Takes the place of what was
// set or written before.
HEARTH_UNUSED static int hearth_body(hearth_reply *reply, const void *data, size_t size);

// Appends to the answer, which the reply keeps; the memory is used again by later calls.
HEARTH_UNUSED static int hearth_write(hearth_reply *reply, const void *data, size_t size);
HEARTH_UNUSED static int hearth_printf(hearth_reply *reply, const char *format, ...)
    HEARTH_PRINTF(2, 3);

// The call ends as a function error of this type with this message. Always returns -1: `return
// hearth_fail(...)`.
HEARTH_UNUSED static int hearth_fail(hearth_reply *reply, const char *type, const char *message);

// What HEARTH_MAIN runs: serves calls on descriptor 3 until there are no more. Returns main's exit
// status.
HEARTH_UNUSED static int hearth_serve(hearth_initialiser initialise, hearth_handler handler);

// ---- How it works ----

enum {
  HEARTH_META_BYTES_MAX = 64 * 1024,
  HEARTH_KEPT_BYTES_MAX = 1024 * 1024  // a buffer that one call grew beyond this is freed after it
};

typedef struct hearth_buffer_ {
  char *data;
  size_t size, capacity;
} hearth_buffer_;

struct hearth_reply {
  hearth_buffer_ meta;     // headers only; status and content type are added when the reply is sent
  hearth_buffer_ written;  // by hearth_write
  const void *body;        // by hearth_body, else NULL
  size_t body_size;
  int status;
  char content_type[256];
  int failed;
  char error_type[128], error_message[4096];
};

// Makes room for `more` bytes and a NUL behind them.
static int hearth_reserve_(hearth_buffer_ *buffer, size_t more) {
  if (more >= SIZE_MAX / 2 - buffer->size) return -1;
  const size_t needed = buffer->size + more + 1;
  if (needed <= buffer->capacity) return 0;
  size_t capacity = buffer->capacity * 2;
  if (capacity < needed) capacity = needed;
  void *data = realloc(buffer->data, capacity);
  if (data == NULL) return -1;
  buffer->data = (char *)data;
  buffer->capacity = capacity;
  return 0;
}

static int hearth_append_(hearth_buffer_ *buffer, const void *data, size_t size) {
  if (hearth_reserve_(buffer, size) != 0) return -1;
  if (size > 0) memcpy(buffer->data + buffer->size, data, size);
  buffer->size += size;
  return 0;
}

// Empties a buffer, and gives back what an unusually large call made it grow to.
static void hearth_rewind_(hearth_buffer_ *buffer) {
  buffer->size = 0;
  if (buffer->capacity <= HEARTH_KEPT_BYTES_MAX) return;
  free(buffer->data);
  buffer->data = NULL;
  buffer->capacity = 0;
}

static int hearth_append_pair_(hearth_buffer_ *meta, const char *name, const char *value) {
  if (hearth_append_(meta, name, strlen(name) + 1) != 0) return -1;
  return hearth_append_(meta, value, strlen(value) + 1);
}

static char hearth_lower_(char c) { return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c; }

static int hearth_same_name_(const char *a, const char *b) {
  while (*a != '\0' && hearth_lower_(*a) == hearth_lower_(*b)) ++a, ++b;
  return hearth_lower_(*a) == hearth_lower_(*b);
}

// The value that follows the pair at `*at`, which moves on; NULL at the end or where the list is
// broken.
static const char *hearth_next_pair_(const char *meta, size_t size, size_t *at, const char **name) {
  if (*at >= size) return NULL;
  const char *first = meta + *at;
  const size_t name_bytes = strnlen(first, size - *at);
  if (name_bytes == 0 || *at + name_bytes + 1 >= size) return NULL;
  const char *second = first + name_bytes + 1;
  const size_t left = size - *at - name_bytes - 1;
  const size_t value_bytes = strnlen(second, left);
  if (value_bytes == left) return NULL;
  *at += name_bytes + value_bytes + 2;
  *name = first;
  return second;
}

static const char *hearth_find_(const char *meta, size_t size, const char *prefix,
                                const char *wanted) {
  size_t at = 0;
  const size_t prefix_bytes = strlen(prefix);
  const char *name = NULL, *value = NULL;
  while ((value = hearth_next_pair_(meta, size, &at, &name)) != NULL) {
    if (strncmp(name, prefix, prefix_bytes) != 0) continue;
    if (hearth_same_name_(name + prefix_bytes, wanted)) return value;
  }
  return NULL;
}

static const char *hearth_meta(const hearth_event *event, const char *name) {
  return hearth_find_(event->meta, event->meta_size, "", name);
}

static const char *hearth_header(const hearth_event *event, const char *name) {
  return hearth_find_(event->meta, event->meta_size, "h:", name);
}

static int64_t hearth_remaining_ms(const hearth_event *event) {
  if (event->deadline_ms == 0) return INT64_MAX;
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  const int64_t left = event->deadline_ms - ((int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000);
  return left > 0 ? left : 0;
}

static void hearth_copy_text_(char *to, size_t capacity, const char *text) {
  size_t size = strnlen(text, capacity - 1);
  // A character of UTF-8 is not cut in two.
  if (text[size] != '\0') {
    while (size > 0 && ((unsigned char)text[size] & 0xC0) == 0x80) --size;
  }
  memcpy(to, text, size);
  to[size] = '\0';
}

static int hearth_fail(hearth_reply *reply, const char *type, const char *message) {
  reply->failed = 1;
  hearth_copy_text_(reply->error_type, sizeof reply->error_type, type);
  hearth_copy_text_(reply->error_message, sizeof reply->error_message, message);
  return -1;
}

static int hearth_status(hearth_reply *reply, int status) {
  if (status < 200 || status > 599) {
    return hearth_fail(reply, "BadStatus", "an HTTP status lies between 200 and 599");
  }
  reply->status = status;
  return 0;
}

static int hearth_content_type(hearth_reply *reply, const char *value) {
  if (strlen(value) >= sizeof reply->content_type || strpbrk(value, "\r\n") != NULL) {
    return hearth_fail(reply, "BadHeader", "content type longer than 255 bytes or with a line end");
  }
  hearth_copy_text_(reply->content_type, sizeof reply->content_type, value);
  return 0;
}

static int hearth_set_header(hearth_reply *reply, const char *name, const char *value) {
  if (hearth_same_name_(name, "content-type")) return hearth_content_type(reply, value);
  char pair_name[256] = "h:";
  const size_t name_bytes = strlen(name);
  if (name_bytes == 0 || name_bytes > 200 || strpbrk(name, " \t\r\n:") != NULL ||
      strpbrk(value, "\r\n") != NULL) {
    return hearth_fail(reply, "BadHeader", "header name or value has a character it cannot have");
  }
  for (size_t i = 0; i <= name_bytes; ++i) pair_name[2 + i] = hearth_lower_(name[i]);
  // What is left of the bound is for the status and the content type.
  if (reply->meta.size + name_bytes + strlen(value) + 4 > HEARTH_META_BYTES_MAX - 1024) {
    return hearth_fail(reply, "BadHeader", "headers of more than 63 KiB");
  }
  if (hearth_append_pair_(&reply->meta, pair_name, value) == 0) return 0;
  return hearth_fail(reply, "OutOfMemory", "no memory for a header");
}

static int hearth_body(hearth_reply *reply, const void *data, size_t size) {
  reply->body = data;
  reply->body_size = size;
  reply->written.size = 0;
  return 0;
}

// A borrowed body that is added to becomes a copy.
static int hearth_own_body_(hearth_reply *reply) {
  if (reply->body == NULL) return 0;
  const int rc = hearth_append_(&reply->written, reply->body, reply->body_size);
  reply->body = NULL;
  return rc;
}

static int hearth_write(hearth_reply *reply, const void *data, size_t size) {
  if (hearth_own_body_(reply) == 0 && hearth_append_(&reply->written, data, size) == 0) return 0;
  return hearth_fail(reply, "OutOfMemory", "no memory for the answer");
}

static int hearth_printf(hearth_reply *reply, const char *format, ...) {
  va_list list, again;
  va_start(list, format);
  va_copy(again, list);
  const int size = vsnprintf(NULL, 0, format, list);
  va_end(list);
  int rc = size < 0 || hearth_own_body_(reply) != 0 ||
           hearth_reserve_(&reply->written, (size_t)size) != 0;
  if (rc == 0) {
    vsnprintf(reply->written.data + reply->written.size, (size_t)size + 1, format, again);
    reply->written.size += (size_t)size;
  }
  va_end(again);
  return rc == 0 ? 0 : hearth_fail(reply, "OutOfMemory", "no memory for the answer");
}

#include "hearth_channel.h"

#endif  // HEARTH_HEARTH_H
