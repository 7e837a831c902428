// SPDX-License-Identifier: Apache-2.0
#include "serve.h"

#include <stdlib.h>
#include <string.h>

#include "event.h"

// What the module `call` gives.
enum tool {
  kScan,        // scan(text, 0) -> (object, end): JSON, without what is around it
  kDecode,      // decode(bytes) -> object: the same for any input, with the right exception
  kEncode,      // encode(object, 0) -> tuple of texts, of JSON
  kEncodeSlow,  // encode_slow(object) -> bytes: the same for any object, with the right exception
  kAnswer,      // answer(object) -> (meta, body): an answer with statusCode, or what looks like one
  kAwait,       // wait(coroutine) -> object
  kFail,        // fail(exception, by_handler, call): sends the error frame
  kCoroutine,   // the type
  kTools
};
static const char* const kToolNames[kTools] = {"scan",   "decode", "encode", "encode_slow",
                                               "answer", "wait",   "fail",   "Coroutine"};

static PyObject* tools[kTools];
static PyObject *handler, *context_type, *empty_text, *request_id_name,
    *deadline_name, *status_name, *flush_name, *request_id;

static const char kJsonMeta[] = "content_type\0application/json";
static const char kHttpJsonMeta[] = "status\000200\0content_type\0application/json";

int prepare_calls(PyObject* function, PyObject* type, PyObject* function_name, PyObject* call,
                  PyObject* web) {
  for (int i = 0; i < kTools; ++i) {
    tools[i] = PyObject_GetAttrString(call, kToolNames[i]);
    if (tools[i] == NULL) return -1;
  }
  Py_INCREF(function);
  Py_INCREF(type);
  handler = function;
  context_type = type;
  empty_text = PyUnicode_InternFromString("");
  request_id_name = PyUnicode_InternFromString("aws_request_id");
  deadline_name = PyUnicode_InternFromString("_deadline_ms");
  status_name = PyUnicode_InternFromString("statusCode");
  flush_name = PyUnicode_InternFromString("flush");
  if (!empty_text || !request_id_name || !deadline_name || !status_name ||
      !flush_name) {
    return -1;
  }
  return prepare_events(function_name, web);
}

PyObject* current_request_id(void) {
  if (request_id == NULL) return PyUnicode_FromString("");
  Py_INCREF(request_id);
  return request_id;
}

static int is_json_space(Py_UCS4 c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

// JSON that begins as nearly all does. NULL without an exception: ask the one that knows all cases.
static PyObject* scan(PyObject* body) {
  const char* bytes = PyBytes_AsString(body);
  const Py_ssize_t size = PyBytes_Size(body);
  // A second byte of zero would be UTF-16 or UTF-32.
  if (size < 2 || bytes[0] <= ' ' || bytes[0] > '~' || bytes[1] == '\0') return NULL;
  PyObject* text = PyUnicode_DecodeUTF8(bytes, size, NULL);
  PyObject* start = text ? PyLong_FromLong(0) : NULL;
  PyObject* pair = start ? PyObject_CallFunctionObjArgs(tools[kScan], text, start, NULL) : NULL;
  PyObject* event = NULL;
  if (pair != NULL) {
    Py_ssize_t at = PyLong_AsSsize_t(PyTuple_GetItem(pair, 1));
    const Py_ssize_t length = PyUnicode_GetLength(text);
    while (at < length && is_json_space(PyUnicode_ReadChar(text, at))) ++at;
    if (at == length) {
      event = PyTuple_GetItem(pair, 0);
      Py_INCREF(event);
    }
    Py_DECREF(pair);
  }
  PyErr_Clear();
  Py_XDECREF(start);
  Py_XDECREF(text);
  return event;
}

static PyObject* json_event(PyObject* body) {
  if (PyBytes_Size(body) == 0) return PyDict_New();
  PyObject* event = scan(body);
  return event ? event : PyObject_CallFunctionObjArgs(tools[kDecode], body, NULL);
}

static PyObject* context_of(const struct meta* meta) {
  PyObject* id = PyUnicode_FromString(meta->request_id ? meta->request_id : "");
  PyObject* deadline =
      PyLong_FromLongLong(meta->deadline_ms ? strtoll(meta->deadline_ms, NULL, 10) : 0);
  PyObject* context = id && deadline ? PyObject_CallNoArgs(context_type) : NULL;
  if (context != NULL && (PyObject_SetAttr(context, request_id_name, id) != 0 ||
                          PyObject_SetAttr(context, deadline_name, deadline) != 0)) {
    Py_CLEAR(context);
  }
  Py_XDECREF(request_id);
  request_id = id;
  Py_XDECREF(deadline);
  return context;
}

// What the handler returns; NULL with its exception.
static PyObject* run_handler(PyObject* event, PyObject* context) {
  PyObject* result = PyObject_CallFunctionObjArgs(handler, event, context, NULL);
  if (result == NULL || (PyObject*)Py_TYPE(result) != tools[kCoroutine]) return result;
  PyObject* awaited = PyObject_CallFunctionObjArgs(tools[kAwait], result, NULL);
  Py_DECREF(result);
  return awaited;
}

static PyObject* encode(PyObject* result) {
  PyObject* zero = PyLong_FromLong(0);
  PyObject* parts = PyObject_CallFunctionObjArgs(tools[kEncode], result, zero, NULL);
  PyObject* text = parts ? PyUnicode_Join(empty_text, parts) : NULL;
  PyObject* bytes = text ? PyUnicode_AsUTF8String(text) : NULL;
  Py_XDECREF(zero);
  Py_XDECREF(parts);
  Py_XDECREF(text);
  if (bytes != NULL) return bytes;
  PyErr_Clear();
  return PyObject_CallFunctionObjArgs(tools[kEncodeSlow], result, NULL);
}

// May `result` say what the whole HTTP answer is?
static int has_status(PyObject* result) {
  if (!PyDict_Check(result)) return 0;
  if (!PyDict_CheckExact(result)) return 1;
  const int found = PyDict_Contains(result, status_name);
  if (found < 0) PyErr_Clear();  // a key whose __eq__ raises: `answer` meets it again
  return found != 0;
}

static void flush(const char* name) {
  PyObject* stream = PySys_GetObject(name);
  if (stream == NULL || stream == Py_None) return;
  PyObject* done = PyObject_CallMethodObjArgs(stream, flush_name, NULL);
  Py_XDECREF(done);
  PyErr_Clear();  // closed or replaced by user code
}

// The log of a call is complete before its answer leaves.
static void flush_streams(void) {
  flush("stdout");
  flush("stderr");
  if (PySys_GetObject("stdout") != PySys_GetObject("__stdout__")) flush("__stdout__");
  if (PySys_GetObject("stderr") != PySys_GetObject("__stderr__")) flush("__stderr__");
}

// The reply's (meta, body), new references. 0, or -1 with an exception set.
static int answer(PyObject* result, int by_http, PyObject** meta, PyObject** body) {
  if (by_http && has_status(result)) {
    PyObject* pair = PyObject_CallFunctionObjArgs(tools[kAnswer], result, NULL);
    if (pair == NULL) return -1;
    *meta = PySequence_GetItem(pair, 0);
    *body = PySequence_GetItem(pair, 1);
    Py_DECREF(pair);
  } else {
    *meta = by_http ? PyBytes_FromStringAndSize(kHttpJsonMeta, sizeof kHttpJsonMeta)
                    : PyBytes_FromStringAndSize(kJsonMeta, sizeof kJsonMeta);
    *body = encode(result);
  }
  return *meta && *body ? 0 : -1;
}

// Sends what the set exception says. 0, or -1 when even that fails.
static int fail(int by_handler, uint64_t call) {
  PyObject *type, *value, *trace;
  PyErr_Fetch(&type, &value, &trace);
  PyErr_NormalizeException(&type, &value, &trace);
  if (trace != NULL) PyException_SetTraceback(value, trace);
  Py_XDECREF(type);
  Py_XDECREF(trace);
  PyObject* number = PyLong_FromUnsignedLongLong(call);
  PyObject* sent = PyObject_CallFunctionObjArgs(tools[kFail], value,
                                                by_handler ? Py_True : Py_False, number, NULL);
  Py_XDECREF(number);
  Py_XDECREF(value);
  Py_XDECREF(sent);
  return sent ? 0 : -1;
}

static int run(int channel, struct frame* frame) {
  struct meta meta;
  if (!parse_meta(frame->meta, &meta)) return -1;
  const int by_http = meta.trigger != NULL && strcmp(meta.trigger, "http") == 0;
  PyObject* context = context_of(&meta);
  PyObject* event = by_http ? http_event(&meta, frame->body) : json_event(frame->body);
  const uint64_t call = frame->header.call;
  Py_CLEAR(frame->meta);  // user code may need the memory
  Py_CLEAR(frame->body);
  PyObject* result = context && event ? run_handler(event, context) : NULL;
  const int by_handler = context && event;
  Py_XDECREF(event);
  Py_XDECREF(context);
  if (result == NULL) return fail(by_handler, call);

  PyObject *reply = NULL, *body = NULL;
  int rc = answer(result, by_http, &reply, &body);
  if (rc != 0) {
    rc = fail(0, call);
  } else {
    flush_streams();
    rc = send_frame(channel, kTypeReply, call, PyBytes_AsString(reply), (size_t)PyBytes_Size(reply),
                    PyBytes_AsString(body), (size_t)PyBytes_Size(body));
  }
  Py_DECREF(result);
  Py_XDECREF(reply);
  Py_XDECREF(body);
  return rc;
}

int serve_call(int channel) {
  struct frame frame;
  int rc = receive_frame(channel, &frame);
  if (rc <= 0) return rc;
  const int last = frame.header.flags & kLastCall;
  if (frame.header.type != kTypeCall) {
    PyErr_Format(PyExc_ValueError, "frame of type %d where %d was due", frame.header.type,
                 kTypeCall);
    rc = -1;
  } else {
    rc = run(channel, &frame);
  }
  Py_XDECREF(frame.meta);
  Py_XDECREF(frame.body);
  if (rc != 0) return -1;
  return last ? 0 : 1;
}
