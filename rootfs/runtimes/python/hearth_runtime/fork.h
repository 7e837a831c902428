// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdint.h>

// The fork socket of the zygote: one byte 'F' with three descriptors comes in, a child beside the
// zygote (not below it) takes them over, its number goes out. Nothing here runs Python code.

struct fork_order {
  int channel, out, err;  // -1 when the order was not understood
  int error;              // 0, or the negative errno to answer instead of forking
};

// 1: an order. 0: the socket is closed. -1: it is broken.
int receive_order(int fork_socket, struct fork_order* order);
int answer_order(int fork_socket, int32_t answer);
void close_order(const struct fork_order* order);

// fork(2), but the child's parent is the caller's parent. The number of the child, 0 in the child,
// negative errno.
int clone_beside(void);

// In the child: takes over the order's descriptors and leaves what was the zygote's. Ends the
// process on failure.
void become_child(const struct fork_order* order, int fork_socket, int channel);
