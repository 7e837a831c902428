// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

#include "daemon/loop/poll.h"
#include "daemon/loop/timer.h"
#include "sandbox/sys/fd.h"

namespace hearth::http {

struct Shared;

// Sockets to listen on. All throw sys::Error.
sys::Fd bind_tcp(const std::string& address, uint16_t port);
sys::Fd bind_unix(const std::string& path, mode_t mode, std::optional<gid_t> group);
uint16_t bound_port(int fd);  // 0: not TCP

// Accepts on one socket. When descriptors run out, the client is told so and closed with a
// descriptor kept for that; when even that fails, or memory is short, accepting pauses instead of
// spinning. Destruction closes the socket and removes its file.
class Listener {
 public:
  Listener(Shared& shared, sys::Fd fd, std::string path = {});
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

 private:
  void accept_some();
  enum class TurnedAway { kOne, kNobody, kImpossible };
  TurnedAway turn_away();
  void pause();

  Shared& shared_;
  sys::Fd fd_;  // closed after poll_
  std::string path_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
  sys::Fd spare_;
  loop::Poll poll_;
  loop::Timer resume_;
};

}  // namespace hearth::http
