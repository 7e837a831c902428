// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "sandbox/control.h"
#include "sandbox/init/children.h"
#include "sandbox/init/launch.h"
#include "sandbox/init/scrub.h"
#include "sandbox/init/zygote.h"

namespace hearth::sandbox::init {

inline constexpr std::chrono::milliseconds kForkTimeMax{5000};   // a zygote's answer
inline constexpr std::chrono::milliseconds kKillTimeMax{200};    // until the killed are reaped
inline constexpr std::chrono::milliseconds kScrubTimeMax{2000};  // emptying /tmp and /dev/shm

// Serves hearthd's requests on the control socket, one after the other. What a request meets
// (including what user code did to it) is answered with Failed; the sandbox is then to be
// destroyed.
class Init {
 public:
  explicit Init(int control);  // SIGCHLD must be blocked; throws sys::Error

  // Until hearthd closes the control socket: throws sys::Error(ECONNRESET) then.
  [[noreturn]] void serve();

 private:
  struct Process {
    pid_t pid;
    uint32_t number;
  };

  void handle(const control::Request& request);
  void start(const control::Start& start);
  void fork();
  void recycle();
  void probe();

  void kill_all_but_zygote();
  pid_t wait_for_child();
  void reap();
  void ended(const Reaped& reaped);
  void started(Connection connection, uint32_t number, bool zygote, bool loaded);

  int control_;
  sys::Fd signals_;  // SIGCHLD
  Children children_;
  Scratch tmp_, shm_;

  std::optional<control::Start> template_;  // the last Start that worked
  std::optional<Zygote> zygote_;
  uint32_t zygote_number_ = 0;
  std::optional<Process> process_;  // the one that serves calls
  uint32_t last_number_ = 0;
};

}  // namespace hearth::sandbox::init
