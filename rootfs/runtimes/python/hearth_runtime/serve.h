// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "frames.h"

// One call: its frame, its event, the handler, its answer. In C for the reason that event.c gives.

// What all calls share. `call` is the module hearth_runtime.call: its functions do what is rare.
// Once the handler is known, and before any fork. 0, or -1 with an exception set.
int prepare_calls(PyObject* handler, PyObject* context_type, PyObject* function_name,
                  PyObject* call, PyObject* web);

// Waits for a call on the channel and answers it with exactly one reply or error, after its log is
// flushed. 1: more calls may come. 0: that was the last, or the channel has ended. -1: the channel
// is broken; an exception is set.
int serve_call(int channel);

// Of the call that runs or ran last, a new reference; empty before the first.
PyObject* current_request_id(void);
