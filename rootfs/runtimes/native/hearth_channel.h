// SPDX-License-Identifier: Apache-2.0
//
// The second half of hearth.h, which includes it: frames on descriptor 3, as hearth-runtime(7)
// describes them.
#ifndef HEARTH_HEARTH_CHANNEL_H
#define HEARTH_HEARTH_CHANNEL_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/uio.h>
#include <unistd.h>
#ifdef __cplusplus
#include <exception>
#endif

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "hearth.h writes little-endian frames from memory"
#endif

enum {
  HEARTH_CHANNEL = 3,
  HEARTH_HEADER_BYTES = 24,
  HEARTH_MAGIC = 0x48545248
};
enum {
  HEARTH_HELLO = 1,
  HEARTH_LOAD = 2,
  HEARTH_READY = 3,
  HEARTH_CALL = 4,
  HEARTH_REPLY = 5,
  HEARTH_ERROR = 6
};
enum { HEARTH_LAST_CALL = 1 };

typedef struct hearth_header_ {
  uint32_t magic;
  uint8_t type, flags;
  uint16_t reserved;
  uint32_t meta_bytes, body_bytes;
  uint64_t call;
} hearth_header_;

typedef struct hearth_channel_ {
  hearth_buffer_ in;  // read, not yet served; one frame unless the peer sends ahead
  hearth_header_ header;
} hearth_channel_;

// One writev unless the kernel takes less than all of it.
static int hearth_send_(uint8_t type, uint64_t call, const hearth_buffer_ *meta, const void *body,
                        size_t body_size) {
  hearth_header_ header = {HEARTH_MAGIC, type, 0, 0, 0, 0, call};
  header.meta_bytes = (uint32_t)meta->size;
  header.body_bytes = (uint32_t)body_size;
  struct iovec parts[3];
  parts[0].iov_base = &header;
  parts[0].iov_len = sizeof header;
  parts[1].iov_base = meta->data;
  parts[1].iov_len = meta->size;
  parts[2].iov_base = (void *)(uintptr_t)body;
  parts[2].iov_len = body_size;
  int first = 0;
  while (first < 3) {
    ssize_t sent = writev(HEARTH_CHANNEL, parts + first, 3 - first);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return -1;
    for (; first < 3 && (size_t)sent >= parts[first].iov_len; ++first) {
      sent -= (ssize_t)parts[first].iov_len;
    }
    if (first == 3) break;
    parts[first].iov_base = (char *)parts[first].iov_base + sent;
    parts[first].iov_len -= (size_t)sent;
  }
  return 0;
}

// The whole frame is at the start of in.data afterwards. 1: a frame; 0: end of file between frames;
// -1: no valid frame.
static int hearth_receive_(hearth_channel_ *channel) {
  hearth_buffer_ *in = &channel->in;
  size_t needed = HEARTH_HEADER_BYTES;
  for (;;) {
    if (in->size >= HEARTH_HEADER_BYTES) {
      memcpy(&channel->header, in->data, HEARTH_HEADER_BYTES);
      const hearth_header_ *h = &channel->header;
      if (h->magic != HEARTH_MAGIC || h->meta_bytes > HEARTH_META_BYTES_MAX) return -1;
      needed = HEARTH_HEADER_BYTES + (size_t)h->meta_bytes + h->body_bytes;
      if (in->size >= needed) return 1;
    }
    // Reads of at least 32 KiB, so that a small call arrives by one.
    const size_t missing = needed - in->size;
    if (hearth_reserve_(in, missing > 32768 ? missing : 32768) != 0) return -1;
    // A reader that sleeps in read() is woken each time the peer takes an answer; poll() is not.
    struct pollfd frame = {HEARTH_CHANNEL, POLLIN, 0};
    if (in->size == 0 && poll(&frame, 1, -1) < 0 && errno != EINTR) return -1;
    const ssize_t got = read(HEARTH_CHANNEL, in->data + in->size, in->capacity - in->size - 1);
    if (got < 0 && errno == EINTR) continue;
    if (got == 0 && in->size == 0) return 0;
    if (got <= 0) return -1;
    in->size += (size_t)got;
  }
}

// Drops the frame at the start; keeps what came behind it.
static void hearth_consume_(hearth_channel_ *channel) {
  hearth_buffer_ *in = &channel->in;
  const size_t used =
      HEARTH_HEADER_BYTES + (size_t)channel->header.meta_bytes + channel->header.body_bytes;
  const size_t left = in->size - used;
  if (left == 0) {
    hearth_rewind_(in);
    return;
  }
  memmove(in->data, in->data + used, left);
  in->size = left;
}

static int hearth_send_error_(hearth_reply *reply, const char *kind, uint64_t call) {
  reply->meta.size = 0;
  if (hearth_append_pair_(&reply->meta, "kind", kind) != 0 ||
      hearth_append_pair_(&reply->meta, "type", reply->error_type) != 0 ||
      hearth_append_pair_(&reply->meta, "message", reply->error_message) != 0) {
    return -1;
  }
  return hearth_send_(HEARTH_ERROR, call, &reply->meta, NULL, 0);
}

static int hearth_send_reply_(hearth_reply *reply, uint64_t call) {
  char status[16];
  snprintf(status, sizeof status, "%d", reply->status);
  if (hearth_append_pair_(&reply->meta, "status", status) != 0 ||
      hearth_append_pair_(&reply->meta, "content_type", reply->content_type) != 0) {
    return -1;
  }
  const void *body = reply->body != NULL ? reply->body : reply->written.data;
  const size_t size = reply->body != NULL ? reply->body_size : reply->written.size;
  if (size > UINT32_MAX) {
    hearth_fail(reply, "BadReply", "an answer of more than 4 GiB");
    return hearth_send_error_(reply, "bad_reply", call);
  }
  return hearth_send_(HEARTH_REPLY, call, &reply->meta, body, size);
}

static int hearth_run_handler_(hearth_handler handler, const hearth_event *event,
                               hearth_reply *reply) {
#if defined(__cplusplus) && defined(__cpp_exceptions)
  try {
    return handler(event, reply);
  } catch (const std::exception &error) {
    return hearth_fail(reply, "std::exception", error.what());
  } catch (...) {
    return hearth_fail(reply, "exception", "an exception that is no std::exception");
  }
#else
  return handler(event, reply);
#endif
}

static int hearth_serve_call_(hearth_channel_ *channel, hearth_reply *reply,
                              hearth_handler handler) {
  const hearth_header_ *header = &channel->header;
  char *meta = channel->in.data + HEARTH_HEADER_BYTES;
  char *body = meta + header->meta_bytes;
  // The byte behind the body becomes its NUL while the handler runs; there is always room for it.
  char *end = body + header->body_bytes;
  const char behind = *end;
  *end = '\0';
  hearth_event event = {body, header->body_bytes, "", 0, meta, header->meta_bytes};
  const char *value = hearth_meta(&event, "request_id");
  if (value != NULL) event.request_id = value;
  value = hearth_meta(&event, "deadline_ms");
  if (value != NULL) event.deadline_ms = strtoll(value, NULL, 10);

  hearth_rewind_(&reply->meta);
  hearth_rewind_(&reply->written);
  reply->body = NULL;
  reply->status = 200;
  reply->failed = 0;
  hearth_copy_text_(reply->content_type, sizeof reply->content_type, "application/octet-stream");
  const int rc = hearth_run_handler_(handler, &event, reply);
  if (rc != 0 && !reply->failed) {
    char message[64];
    snprintf(message, sizeof message, "the handler returned %d", rc);
    hearth_fail(reply, "HandlerFailed", message);
  }
  // The call's log is complete before its answer leaves.
  fflush(stdout);
  fflush(stderr);
  const int sent = reply->failed ? hearth_send_error_(reply, "function_error", header->call)
                                 : hearth_send_reply_(reply, header->call);
  *end = behind;
  return sent;
}

// Sets what *load* declares, then answers *ready* or an error.
static int hearth_load_(hearth_channel_ *channel, hearth_reply *reply, hearth_initialiser init) {
  const char *meta = channel->in.data + HEARTH_HEADER_BYTES;
  const size_t meta_size = channel->header.meta_bytes;
  const char *handler = hearth_find_(meta, meta_size, "", "handler");
  const char *name = NULL, *value = NULL;
  size_t at = 0;
  while ((value = hearth_next_pair_(meta, meta_size, &at, &name)) != NULL) {
    if (strncmp(name, "env:", 4) == 0) setenv(name + 4, value, 1);
  }
  const int rc = init != NULL ? init(handler != NULL ? handler : "") : 0;
  fflush(stdout);
  fflush(stderr);
  if (rc != 0) {
    hearth_fail(reply, "InitialiserFailed", "");
    snprintf(reply->error_message, sizeof reply->error_message, "the initialiser returned %d", rc);
    hearth_send_error_(reply, "load_error", 0);
    return -1;
  }
  if (hearth_append_pair_(&reply->meta, "fork", "0") != 0) return -1;
  return hearth_send_(HEARTH_READY, 0, &reply->meta, NULL, 0);
}

// hello, load, ready, then calls until the last one or the end of the channel.
static int hearth_serve(hearth_initialiser init, hearth_handler handler) {
  static hearth_channel_ channel;
  static hearth_reply reply;
  if (hearth_append_pair_(&reply.meta, "runtime", "native") != 0 ||
      hearth_append_pair_(&reply.meta, "version", "1") != 0 ||
      hearth_send_(HEARTH_HELLO, 0, &reply.meta, NULL, 0) != 0) {
    fprintf(stderr, "hearth: descriptor 3 is no channel; hearthd starts this program\n");
    return 2;
  }
  reply.meta.size = 0;
  // Programs that the function starts have no business on the channel.
  fcntl(HEARTH_CHANNEL, F_SETFD, FD_CLOEXEC);
  if (hearth_receive_(&channel) != 1 || channel.header.type != HEARTH_LOAD) return 2;
  if (hearth_load_(&channel, &reply, init) != 0) return 1;
  for (;;) {
    hearth_consume_(&channel);
    const int got = hearth_receive_(&channel);
    if (got == 0) return 0;
    if (got < 0 || channel.header.type != HEARTH_CALL) return 2;
    if (hearth_serve_call_(&channel, &reply, handler) != 0) return 1;
    if (channel.header.flags & HEARTH_LAST_CALL) return 0;
  }
}

#endif  // HEARTH_HEARTH_CHANNEL_H
