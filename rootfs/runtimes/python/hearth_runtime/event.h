// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "frames.h"

// A call's meta and the event that it makes.

// Views into the meta, each followed by a NUL; NULL where the pair is missing.
struct meta {
  const char *request_id, *deadline_ms, *trigger;
  const char *method, *path, *query, *source_ip, *protocol, *time_ms;
  const char *pairs, *end;  // all of it
};

// False, with ValueError set, for what is no list of pairs.
int parse_meta(PyObject* bytes, struct meta* meta);

// Makes the strings that every event has. Once, before any fork: 0, or -1 with an exception set.
// `function_name` is what the function is called; `web` the module with the rarer parts.
int prepare_events(PyObject* function_name, PyObject* web);

// The event of a call by HTTP: AWS Lambda's function-URL payload, format 2.0. NULL with an
// exception set.
PyObject* http_event(const struct meta* meta, PyObject* body);
