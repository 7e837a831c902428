// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "sandbox/spec.h"
#include "sandbox/sys/fd.h"

// Messages between hearthd and hearth-init over the sandbox's control socket (SEQPACKET, one
// message each; the layout is in control.cc). Both sides use these functions. Receiving never
// blocks; sending does not either on hearthd's side, where the socket is non-blocking.
namespace hearth::sandbox::control {

enum class Stdio : uint8_t {
  kFramed,  // descriptor 3 is the channel; stdin is /dev/null
  kRaw,     // the body on stdin, the answer on stdout
};
enum class Role : uint8_t {
  kServer,  // the program serves calls itself
  kZygote,  // the program forks children that serve one call each (descriptor 4 is the fork socket)
};

// hearthd -> hearth-init
struct Start {
  Stdio stdio = Stdio::kFramed;
  Role role = Role::kServer;
  std::vector<std::string> argv;  // argv[0] is a path inside the sandbox
  std::vector<std::string> env;   // NAME=VALUE; the whole environment
};
struct Fork {};     // park a child of the zygote
struct Recycle {};  // scrub, then Fork with a zygote, else start the last Start again
struct Probe {};
using Request = std::variant<Start, Fork, Recycle, Probe>;

// hearth-init -> hearthd
struct Ready {};
struct Failed {
  Failure failure;
};
struct Started {
  uint32_t process = 0;  // hearth-init's number for it, rising from 1
  bool zygote = false;   // this is the zygote itself: its channel takes load, not calls
  bool loaded = false;   // a child of a loaded zygote: no hello and no load follow
  sys::Fd in;            // framed: the channel (both directions); raw: write end of stdin
  sys::Fd out;           // framed: empty; raw: read end of stdout
  sys::Fd log_out;       // framed: read end of stdout; raw: empty
  sys::Fd log_err;       // read end of stderr
};
struct Exited {
  uint32_t process = 0;
  int wait_status = 0;  // as waitpid(2) gives it
};
struct Probed {
  uint64_t tmp_bytes_used = 0, tmp_bytes = 0;
};
using Event = std::variant<Ready, Failed, Started, Exited, Probed>;

inline constexpr size_t kMessageBytesMax = 128 * 1024;  // argv and env together are bounded by this

// Throws sys::Error when the peer is gone or the message does not fit.
void send(int control, const Request& request);
void send(int control, const Event& event);

// nullopt: nothing there (EAGAIN). Throws sys::Error on end of file (ECONNRESET) or a malformed
// message (EPROTO); the descriptors of a malformed one are closed.
std::optional<Event> receive_event(int control);
std::optional<Request> receive_request(int control);

}  // namespace hearth::sandbox::control
