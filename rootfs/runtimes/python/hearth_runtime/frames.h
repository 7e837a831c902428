// SPDX-License-Identifier: Apache-2.0
#pragma once

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <stdint.h>

// Frames on a channel, received straight into the objects that user code gets. hearth-runtime(7)
// describes them.

enum { kHeaderBytes = 24, kMetaBytesMax = 64 * 1024, kMagic = 0x48545248 };
enum { kTypeCall = 4, kTypeReply = 5 };
enum { kLastCall = 1 };

struct header {
  uint32_t magic;
  uint8_t type, flags;
  uint16_t reserved;
  uint32_t meta_bytes, body_bytes;
  uint64_t call;
};
_Static_assert(sizeof(struct header) == kHeaderBytes, "the header is read and written as it is");

struct frame {
  struct header header;
  PyObject *meta, *body;  // bytes, owned by who received the frame
};

// Waits for a frame. 1: one is there. 0: the channel has ended. -1: a Python exception is set.
int receive_frame(int fd, struct frame* frame);

// 0, or -1 with a Python exception set.
int send_frame(int fd, uint8_t type, uint64_t call, const void* meta, size_t meta_bytes,
               const void* body, size_t body_bytes);
