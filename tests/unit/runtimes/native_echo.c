// SPDX-License-Identifier: Apache-2.0
// The smallest function: it uses a part of the header only, which must not warn about the rest.
#include "hearth.h"

static int handle(const hearth_event *event, hearth_reply *reply) {
  return hearth_body(reply, event->body, event->size);
}
HEARTH_MAIN(handle)
