// SPDX-License-Identifier: Apache-2.0
//
// What the python runtime cannot say in Python: frames received straight into the object that user
// code gets, and a fork whose child belongs to PID 1. See hearth-runtime(7).
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fork.h"
#include "frames.h"
#include "serve.h"

PyDoc_STRVAR(recv_doc,
             "recv(fd) -> (type, flags, call, meta, body) | None\n\n"
             "Waits for one frame. None at the end of the channel.");
static PyObject* hearth_recv(PyObject* module, PyObject* args) {
  (void)module;
  int fd;
  if (!PyArg_ParseTuple(args, "i", &fd)) return NULL;
  struct frame frame;
  const int rc = receive_frame(fd, &frame);
  if (rc < 0) return NULL;
  if (rc == 0) Py_RETURN_NONE;
  const struct header* header = &frame.header;
  return Py_BuildValue("(iiKNN)", header->type, header->flags, (unsigned long long)header->call,
                       frame.meta, frame.body);
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
  const int rc = send_frame(fd, type, call, meta.buf, (size_t)meta.len, body.buf,
                            (size_t)body.len);
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

PyDoc_STRVAR(prepare_calls_doc,
             "prepare_calls(handler, context_type, function_name, call, web)\n\n"
             "What serve_call works with.");
static PyObject* hearth_prepare_calls(PyObject* module, PyObject* args) {
  (void)module;
  PyObject *handler, *context_type, *function_name, *call, *web;
  if (!PyArg_ParseTuple(args, "OOUOO", &handler, &context_type, &function_name, &call, &web)) {
    return NULL;
  }
  if (prepare_calls(handler, context_type, function_name, call, web) != 0) return NULL;
  Py_RETURN_NONE;
}

PyDoc_STRVAR(serve_call_doc,
             "serve_call(fd) -> bool\n\n"
             "Waits for a call and answers it. True: more may come.");
static PyObject* hearth_serve_call(PyObject* module, PyObject* args) {
  (void)module;
  int fd;
  if (!PyArg_ParseTuple(args, "i", &fd)) return NULL;
  const int rc = serve_call(fd);
  return rc < 0 ? NULL : PyBool_FromLong(rc);
}

PyDoc_STRVAR(request_id_doc, "request_id() -> str\n\nOf the call that runs or ran last.");
static PyObject* hearth_request_id(PyObject* module, PyObject* args) {
  (void)module;
  (void)args;
  return current_request_id();
}

PyDoc_STRVAR(serve_forks_doc,
             "serve_forks(fork_socket, channel)\n\n"
             "Forks on every order, until there are no more. A child serves its one call; it "
             "returns only when that ends in an exception.");
static PyObject* hearth_serve_forks(PyObject* module, PyObject* args) {
  (void)module;
  int fork_socket, channel;
  if (!PyArg_ParseTuple(args, "ii", &fork_socket, &channel)) return NULL;
  for (;;) {
    struct fork_order order;
    if (receive_order(fork_socket, &order) <= 0) Py_RETURN_NONE;
    int32_t answer = order.error;
    if (answer == 0) {
      PyOS_BeforeFork();
      answer = clone_beside();
      if (answer == 0) {
        become_child(&order, fork_socket, channel);
        PyOS_AfterFork_Child();
        if (serve_call(channel) < 0) return NULL;
        _exit(0);
      }
      PyOS_AfterFork_Parent();
    }
    close_order(&order);
    if (answer_order(fork_socket, answer) != 0) Py_RETURN_NONE;
  }
}

static PyMethodDef methods[] = {
    {"recv", hearth_recv, METH_VARARGS, recv_doc},
    {"send", hearth_send, METH_VARARGS, send_doc},
    {"protect", hearth_protect, METH_VARARGS, protect_doc},
    {"limit_processes", hearth_limit_processes, METH_VARARGS, limit_processes_doc},
    {"prepare_calls", hearth_prepare_calls, METH_VARARGS, prepare_calls_doc},
    {"serve_call", hearth_serve_call, METH_VARARGS, serve_call_doc},
    {"request_id", hearth_request_id, METH_NOARGS, request_id_doc},
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
