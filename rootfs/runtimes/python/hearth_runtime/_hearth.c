// SPDX-License-Identifier: Apache-2.0
//
// What the python runtime cannot say in Python: frames received straight into the object that user
// code gets, and a fork whose child belongs to PID 1. See hearth-runtime(7).
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fork.h"

enum { kHeaderBytes = 24, kMetaBytesMax = 64 * 1024, kMagic = 0x48545248 };

struct header {
  uint32_t magic;
  uint8_t type, flags;
  uint16_t reserved;
  uint32_t meta_bytes, body_bytes;
  uint64_t call;
};
_Static_assert(sizeof(struct header) == kHeaderBytes, "the header is read and written as it is");

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

PyDoc_STRVAR(recv_doc,
             "recv(fd) -> (type, flags, call, meta, body) | None\n\n"
             "Waits for one frame. None at the end of the channel.");
static PyObject* hearth_recv(PyObject* module, PyObject* args) {
  (void)module;
  int fd;
  if (!PyArg_ParseTuple(args, "i", &fd)) return NULL;
  struct header header;
  struct iovec first = {&header, sizeof header};
  const int rc = read_all(fd, &first, 1);
  if (rc < 0) return NULL;
  if (rc == 0) Py_RETURN_NONE;
  if (header.magic != kMagic || header.meta_bytes > kMetaBytesMax) {
    PyErr_SetString(PyExc_ValueError, "no valid frame on the channel");
    return NULL;
  }
  PyObject* meta = PyBytes_FromStringAndSize(NULL, header.meta_bytes);
  PyObject* body = PyBytes_FromStringAndSize(NULL, header.body_bytes);
  if (meta != NULL && body != NULL) {
    struct iovec rest[2] = {{PyBytes_AsString(meta), header.meta_bytes},
                            {PyBytes_AsString(body), header.body_bytes}};
    const int done = read_all(fd, rest, 2);
    if (done == 0) PyErr_SetString(PyExc_EOFError, "the channel ended inside a frame");
    if (done > 0) {
      return Py_BuildValue("(iiKNN)", header.type, header.flags, (unsigned long long)header.call,
                           meta, body);
    }
  }
  Py_XDECREF(meta);
  Py_XDECREF(body);
  return NULL;
}

PyDoc_STRVAR(send_doc,
             "send(fd, type, call, meta, body)\n\n"
             "Sends one frame; `body` is any bytes-like object.");
static PyObject* hearth_send(PyObject* module, PyObject* args) {
  (void)module;
  int fd;
  unsigned char type;
  unsigned long long call;
  Py_buffer meta, body;
  if (!PyArg_ParseTuple(args, "ibKy*y*", &fd, &type, &call, &meta, &body)) return NULL;
  int rc = -1;
  if (meta.len > kMetaBytesMax || body.len > (Py_ssize_t)UINT32_MAX) {
    PyErr_SetString(PyExc_OverflowError, "the frame has no room for this");
  } else {
    struct header header = {.magic = kMagic,
                            .type = type,
                            .meta_bytes = (uint32_t)meta.len,
                            .body_bytes = (uint32_t)body.len,
                            .call = call};
    struct iovec parts[3] = {{&header, sizeof header},
                             {meta.buf, (size_t)meta.len},
                             {body.buf, (size_t)body.len}};
    // What C code of the function printed belongs to this call's log.
    fflush(stdout);
    rc = write_all(fd, parts, 3);
  }
  PyBuffer_Release(&meta);
  PyBuffer_Release(&body);
  if (rc != 0) return NULL;
  Py_RETURN_NONE;
}

PyDoc_STRVAR(protect_doc,
             "protect(dumpable)\n\n"
             "Die with PID 1. Unless `dumpable`, no other process of the same user may look in.");
static PyObject* hearth_protect(PyObject* module, PyObject* args) {
  (void)module;
  int dumpable;
  if (!PyArg_ParseTuple(args, "p", &dumpable)) return NULL;
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || (!dumpable && prctl(PR_SET_DUMPABLE, 0) != 0)) {
    return PyErr_SetFromErrno(PyExc_OSError);
  }
  Py_RETURN_NONE;
}

PyDoc_STRVAR(limit_processes_doc, "limit_processes(count)\n\nSets RLIMIT_NPROC, for good.");
static PyObject* hearth_limit_processes(PyObject* module, PyObject* args) {
  (void)module;
  unsigned long long count;
  if (!PyArg_ParseTuple(args, "K", &count)) return NULL;
  // A lower limit that is set already stays.
  struct rlimit limit;
  if (getrlimit(RLIMIT_NPROC, &limit) != 0) return PyErr_SetFromErrno(PyExc_OSError);
  if (count < limit.rlim_max) limit.rlim_max = count;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NPROC, &limit) != 0) return PyErr_SetFromErrno(PyExc_OSError);
  Py_RETURN_NONE;
}

PyDoc_STRVAR(serve_forks_doc,
             "serve_forks(fork_socket, channel) -> bool\n\n"
             "Forks on every order. True in a child that has its channel; False in the zygote when "
             "there are no more orders.");
static PyObject* hearth_serve_forks(PyObject* module, PyObject* args) {
  (void)module;
  int fork_socket, channel;
  if (!PyArg_ParseTuple(args, "ii", &fork_socket, &channel)) return NULL;
  for (;;) {
    struct fork_order order;
    if (receive_order(fork_socket, &order) <= 0) Py_RETURN_FALSE;
    int32_t answer = order.error;
    if (answer == 0) {
      PyOS_BeforeFork();
      answer = clone_beside();
      if (answer == 0) {
        become_child(&order, fork_socket, channel);
        PyOS_AfterFork_Child();
        Py_RETURN_TRUE;
      }
      PyOS_AfterFork_Parent();
    }
    close_order(&order);
    if (answer_order(fork_socket, answer) != 0) Py_RETURN_FALSE;
  }
}

static PyMethodDef methods[] = {
    {"recv", hearth_recv, METH_VARARGS, recv_doc},
    {"send", hearth_send, METH_VARARGS, send_doc},
    {"protect", hearth_protect, METH_VARARGS, protect_doc},
    {"limit_processes", hearth_limit_processes, METH_VARARGS, limit_processes_doc},
    {"serve_forks", hearth_serve_forks, METH_VARARGS, serve_forks_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef_Slot slots[] = {{0, NULL}};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "_hearth",
    .m_doc = "Frames and forks for Hearth's python runtime.",
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__hearth(void) { return PyModuleDef_Init(&definition); }
