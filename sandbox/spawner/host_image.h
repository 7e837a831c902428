// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sandbox/sys/fd.h"

// The image "host", for development: this host's /usr, and of /etc copies of what programs need and
// everybody may read anyway. Made once, before the spawner leaves the host's root.
namespace hearth::sandbox::spawner {

struct HostImage {
  sys::Fd root, usr;
};

// Throws sys::Error.
HostImage make_host_image();

// Attaches it at `target` and makes it read-only. The root's /dev and /var/runtime stay empty.
void attach_host_image(const HostImage& image, int directory, const char* target);

}  // namespace hearth::sandbox::spawner
