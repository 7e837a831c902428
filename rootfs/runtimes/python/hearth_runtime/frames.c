// SPDX-License-Identifier: Apache-2.0
#include "frames.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/uio.h>

// After a call that moved no byte. 0: try again. -1: a Python exception is set, by a signal's
// handler or by errno.
static int recover(int fd, short events) {
  const int error = errno;
  if (error == EINTR) return PyErr_CheckSignals();
  if (error != EAGAIN) {
    PyErr_SetFromErrno(PyExc_OSError);
    return -1;
  }
  // User code made the descriptor non-blocking.
  struct pollfd poller = {.fd = fd, .events = events};
  Py_BEGIN_ALLOW_THREADS
  poll(&poller, 1, -1);
  Py_END_ALLOW_THREADS
  return PyErr_CheckSignals();
}

// Takes `moved` bytes off the front of `parts`; what is left starts at the returned index.
static int advance(struct iovec* parts, int first, int count, size_t moved) {
  for (; first < count && moved >= parts[first].iov_len; ++first) moved -= parts[first].iov_len;
  if (first < count) {
    parts[first].iov_base = (char*)parts[first].iov_base + moved;
    parts[first].iov_len -= moved;
  }
  return first;
}

// Fills all parts. 1: done. 0: end of file before the first byte. -1: exception set.
static int read_all(int fd, struct iovec* parts, int count) {
  int first = advance(parts, 0, count, 0);
  int started = 0;
  while (first < count) {
    ssize_t got;
    Py_BEGIN_ALLOW_THREADS
    got = readv(fd, parts + first, count - first);
    Py_END_ALLOW_THREADS
    if (got < 0) {
      if (recover(fd, POLLIN) != 0) return -1;
      continue;
    }
    if (got == 0 && !started) return 0;
    if (got == 0) {
      PyErr_SetString(PyExc_EOFError, "the channel ended inside a frame");
      return -1;
    }
    started = 1;
    first = advance(parts, first, count, (size_t)got);
  }
  return 1;
}

static int write_all(int fd, struct iovec* parts, int count) {
  int first = advance(parts, 0, count, 0);
  while (first < count) {
    // Not writev: a peer that is gone must be an error here, also when user code wants SIGPIPE.
    struct msghdr message = {.msg_iov = parts + first, .msg_iovlen = (size_t)(count - first)};
    ssize_t sent;
    Py_BEGIN_ALLOW_THREADS
    sent = sendmsg(fd, &message, MSG_NOSIGNAL);
    Py_END_ALLOW_THREADS
    if (sent >= 0) {
      first = advance(parts, first, count, (size_t)sent);
    } else if (recover(fd, POLLOUT) != 0) {
      return -1;
    }
  }
  return 0;
}

static int receive_rest(int fd, struct frame* frame) {
  const struct header* header = &frame->header;
  frame->meta = PyBytes_FromStringAndSize(NULL, header->meta_bytes);
  frame->body = PyBytes_FromStringAndSize(NULL, header->body_bytes);
  if (frame->meta == NULL || frame->body == NULL) return -1;
  struct iovec rest[2] = {{PyBytes_AsString(frame->meta), header->meta_bytes},
                          {PyBytes_AsString(frame->body), header->body_bytes}};
  const int done = read_all(fd, rest, 2);
  if (done == 0) PyErr_SetString(PyExc_EOFError, "the channel ended inside a frame");
  return done > 0 ? 1 : -1;
}

int receive_frame(int fd, struct frame* frame) {
  frame->meta = frame->body = NULL;
  struct iovec first = {&frame->header, sizeof frame->header};
  // A reader that sleeps in read is woken each time the peer takes an answer; poll is not.
  struct pollfd poller = {.fd = fd, .events = POLLIN};
  Py_BEGIN_ALLOW_THREADS
  poll(&poller, 1, -1);
  Py_END_ALLOW_THREADS
  int rc = read_all(fd, &first, 1);
  if (rc <= 0) return rc;
  if (frame->header.magic != kMagic || frame->header.meta_bytes > kMetaBytesMax) {
    PyErr_SetString(PyExc_ValueError, "no valid frame on the channel");
    return -1;
  }
  rc = receive_rest(fd, frame);
  if (rc < 0) {
    Py_CLEAR(frame->meta);
    Py_CLEAR(frame->body);
  }
  return rc;
}

int send_frame(int fd, uint8_t type, uint64_t call, const void* meta, size_t meta_bytes,
               const void* body, size_t body_bytes) {
  if (meta_bytes > kMetaBytesMax || body_bytes > UINT32_MAX) {
    PyErr_SetString(PyExc_OverflowError, "the frame has no room for this");
    return -1;
  }
  struct header header = {.magic = kMagic,
                          .type = type,
                          .meta_bytes = (uint32_t)meta_bytes,
                          .body_bytes = (uint32_t)body_bytes,
                          .call = call};
  struct iovec parts[3] = {{&header, sizeof header},
                           {(void*)(uintptr_t)meta, meta_bytes},
                           {(void*)(uintptr_t)body, body_bytes}};
  // What C code of the function printed belongs to this call's log.
  fflush(stdout);
  return write_all(fd, parts, 3);
}
