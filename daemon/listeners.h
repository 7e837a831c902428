// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "daemon/options.h"
#include "daemon/start_up.h"
#include "sandbox/sys/fd.h"

namespace hearth::daemon {

// Listening sockets, opened as root: from systemd if it passed any (a Unix stream socket is the
// management socket, any other one serves HTTP triggers), else as the configuration says.
struct Listeners {
  std::vector<sys::Fd> sockets;
  std::vector<std::string> names;  // for the log: "127.0.0.1:8080", "/run/hearth/hearth.sock"
};

// Throws sys::Error or std::runtime_error: an address in use, a malformed one.
Listeners open_listeners(const Config& config, const Identity& identity);

}  // namespace hearth::daemon
