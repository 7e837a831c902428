// SPDX-License-Identifier: Apache-2.0
// The SHA-256 of the request's body, as sha256sum prints it.
#include <openssl/sha.h>
#include <stdio.h>

#include "hearth.h"

static int handle(const hearth_event* event, hearth_reply* reply) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256((const unsigned char*)event->body, event->size, digest);
  char line[2 * SHA256_DIGEST_LENGTH + 2];
  for (int i = 0; i < SHA256_DIGEST_LENGTH; ++i) snprintf(line + 2 * i, 3, "%02x", digest[i]);
  line[sizeof line - 2] = '\n';
  hearth_content_type(reply, "text/plain");
  return hearth_write(reply, line, sizeof line - 1);
}

HEARTH_MAIN(handle)
