// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "sandbox/control.h"
#include "sandbox/sys/error.h"

using namespace hearth;
using namespace hearth::sandbox;

namespace {

struct Sockets {
  int ends[2];
  int null;
  Sockets() {
    sys::check(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), "socketpair");
    null = sys::check(::open("/dev/null", O_RDWR | O_CLOEXEC), "open");
  }
};

void send_message(const Sockets& sockets, const uint8_t* bytes, size_t size, size_t descriptors) {
  char ancillary[CMSG_SPACE(sizeof(int) * 7)] = {};
  iovec part{const_cast<uint8_t*>(bytes), size};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (descriptors > 0) {
    message.msg_control = ancillary;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * descriptors);
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int) * descriptors);
    for (size_t i = 0; i < descriptors; ++i)
      std::memcpy(CMSG_DATA(rights) + i * sizeof(int), &sockets.null, sizeof(int));
  }
  sys::check(::sendmsg(sockets.ends[0], &message, 0), "sendmsg");
}

}  // namespace

// The first byte says how many descriptors come along, the rest is the message. Both readers either
// refuse it with EPROTO or take it; whatever they take can be sent again.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  static Sockets sockets;
  if (size < 2) return 0;
  size_t message = std::min(size - 1, control::kMessageBytesMax + 1);
  try {
    send_message(sockets, bytes + 1, message, bytes[0] & 7);
    std::optional<control::Event> event = control::receive_event(sockets.ends[1]);
    HEARTH_CHECK(event);
    control::send(sockets.ends[0], *event);
    HEARTH_CHECK(control::receive_event(sockets.ends[1])->index() == event->index());
  } catch (const sys::Error& error) {
    HEARTH_CHECK(error.code() == EPROTO);
  }
  try {
    send_message(sockets, bytes + 1, message, bytes[0] & 7);
    std::optional<control::Request> request = control::receive_request(sockets.ends[1]);
    HEARTH_CHECK(request);
    control::send(sockets.ends[0], *request);
    HEARTH_CHECK(control::receive_request(sockets.ends[1])->index() == request->index());
  } catch (const sys::Error& error) {
    HEARTH_CHECK(error.code() == EPROTO);
  }
  return 0;
}
