// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <list>
#include <string>

#include "daemon/http/connection.h"
#include "daemon/http/limits.h"
#include "daemon/http/listener.h"
#include "daemon/http/response_head.h"
#include "daemon/http/server.h"
#include "daemon/loop/event.h"

namespace hearth::http {

// What the connections and listeners of one server share.
struct Shared {
  Shared(loop::Loop& l, Limits bounds, Handler h, Admit a);

  void open(sys::Fd fd, Peer peer);  // a new connection, or a refusal when there are too many
  void close(std::list<Connection>::iterator connection);

  loop::Loop& loop;
  const Limits limits;
  const Handler handler;
  const Admit admit;
  Counters counters;
  bool draining = false;
  loop::Event drained;

  // Reading and writing are over before another connection's turn, so one buffer of each kind
  // serves all: an idle connection holds none.
  std::array<char, 65536> scratch{};
  std::string head;
  DateLine date;
  std::string overloaded;  // a whole answer, for those who do not get a connection

  std::list<Connection> connections;
  std::list<Listener> listeners;
};

}  // namespace hearth::http
