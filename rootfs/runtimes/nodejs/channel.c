// SPDX-License-Identifier: Apache-2.0
// What channel.cjs does by node's own calls, in less time: reading and writing its descriptor. A
// process that sleeps in `read` on a socket is woken also when its peer takes an answer, for
// nothing; one that polls is not, and node has no call that polls and runs nothing else meanwhile.
//
// A Node-API module. It needs no library, so that it loads beside every C library that node may be
// linked with.
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

// What is used of Node-API, whose ABI never changes. Its header comes with node, which is not
// needed to build this.
typedef struct env* Env;
typedef struct value* Value;
typedef struct arguments* Arguments;
typedef Value (*Function)(Env, Arguments);
enum { kOk = 0 };
int napi_get_cb_info(Env, Arguments, size_t* count, Value* values, Value* self, void** data);
int napi_get_buffer_info(Env, Value buffer, void** data, size_t* size);
int napi_get_value_uint32(Env, Value number, uint32_t* result);
int napi_create_int32(Env, int32_t number, Value* result);
int napi_create_function(Env, const char* name, size_t name_size, Function, void* data,
                         Value* result);
int napi_set_named_property(Env, Value object, const char* name, Value value);
__attribute__((visibility("default"))) Value napi_register_module_v1(Env, Value exports);

static const int kChannel = 3;

// The part of a buffer that a function is given as `(buffer, from, to)`.
struct part {
  char* data;
  size_t size;
};

static int part_of(Env env, Arguments arguments, struct part* part) {
  Value values[3];
  size_t count = 3, size;
  void* data;
  uint32_t from, to;
  if (napi_get_cb_info(env, arguments, &count, values, NULL, NULL) != kOk) return -EINVAL;
  if (napi_get_buffer_info(env, values[0], &data, &size) != kOk) return -EINVAL;
  if (napi_get_value_uint32(env, values[1], &from) != kOk) return -EINVAL;
  if (napi_get_value_uint32(env, values[2], &to) != kOk) return -EINVAL;
  if (from > to || to > size) return -EINVAL;
  part->data = (char*)data + from;
  part->size = to - from;
  return 0;
}

// Waits, and again after a signal.
static int wait_for(short events) {
  struct pollfd channel = {.fd = kChannel, .events = events};
  while (poll(&channel, 1, -1) < 0) {
    if (errno != EINTR) return -errno;
  }
  return 0;
}

// The number of bytes moved, at least one unless the channel has ended; or a negated errno.
static ssize_t receive_some(struct part part) {
  for (;;) {
    int error = wait_for(POLLIN);
    if (error != 0) return error;
    ssize_t got = recv(kChannel, part.data, part.size, 0);
    if (got >= 0) return got;
    if (errno != EINTR && errno != EAGAIN) return -errno;
  }
}

static ssize_t send_some(struct part part) {
  for (;;) {
    ssize_t sent = send(kChannel, part.data, part.size, MSG_NOSIGNAL);
    if (sent >= 0) return sent;
    // EAGAIN: user code made the descriptor non-blocking.
    int error = errno == EAGAIN ? wait_for(POLLOUT) : errno == EINTR ? 0 : -errno;
    if (error != 0) return error;
  }
}

static Value move_part(Env env, Arguments arguments, ssize_t (*move)(struct part)) {
  struct part part;
  Value result = NULL;
  ssize_t moved = part_of(env, arguments, &part);
  if (moved == 0) moved = move(part);
  napi_create_int32(env, (int32_t)moved, &result);
  return result;
}

static Value receive(Env env, Arguments arguments) {
  return move_part(env, arguments, receive_some);
}

static Value transmit(Env env, Arguments arguments) {
  return move_part(env, arguments, send_some);
}

static void add(Env env, Value exports, const char* name, Function function) {
  Value value = NULL;
  if (napi_create_function(env, name, SIZE_MAX, function, NULL, &value) == kOk)
    napi_set_named_property(env, exports, name, value);
}

Value napi_register_module_v1(Env env, Value exports) {
  add(env, exports, "receive", receive);
  add(env, exports, "send", transmit);
  return exports;
}
