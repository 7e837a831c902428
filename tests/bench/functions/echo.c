// SPDX-License-Identifier: Apache-2.0
// The function of the warm-call figure: the body comes back.
#include "hearth.h"

static int handle(const hearth_event* event, hearth_reply* reply) {
  return hearth_body(reply, event->body, event->size);
}

HEARTH_MAIN(handle)
