// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "sandbox/policy.h"
#include "sandbox/spec.h"
#include "sandbox/sys/fd.h"

// hearthd's side of the spawner: requests out, answers in, no event loop. This is the seam where
// another backend (a virtual machine) could stand.
namespace hearth::sandbox {

struct Created {
  uint64_t id = 0;
  Descriptors descriptors;
  int32_t init_host_pid = 0;
};
struct Done {
  uint64_t id = 0;
};  // specialise, remove, prune, purge
struct Refused {
  uint64_t id = 0;
  Failure failure;
};
using Answer = std::variant<Created, Done, Refused>;

// Destroying it closes the connection, at which the spawner kills every sandbox of this run, and
// waits for the spawner's end.
class SpawnerClient {
 public:
  // Starts hearth-spawner (fork and exec; call it before any thread exists) and waits until it
  // serves. Throws sys::Error, also with what the spawner itself could not do.
  SpawnerClient(const std::string& spawner_path, const SpawnerPolicy& policy);

  int fd() const;       // non-blocking; readable: call receive()
  int32_t pid() const;  // of the spawner

  // Each sends one message; `id` comes back in the answer. Requests that the full socket did not
  // take are kept in order and sent by flush(), to be called when fd() is writable while
  // wants_write(). Names and limits are checked by the spawner; a text too long for the wire is
  // refused by throwing sys::Error(EINVAL).
  void create(const Spec& spec);
  void specialise(uint64_t id, const std::string& bundle, const Limits& limits,
                  const std::string& function);
  void remove(uint64_t id);  // kills what still lives, reaps, removes the cgroup; then answers
  // Kills what lives and lifts its limits on reading, for which even a killed process waits. There
  // is no answer: whoever asks sees the processes end.
  void kill(uint64_t id);
  void prune(uint64_t request, const std::string& tenant,
             const std::string& function);  // empty function: the tenant
  void purge(uint64_t request);  // at start: kill and remove every cgroup below the base that this
                                 // run did not make
  bool wants_write() const;
  void flush();

  // nullopt: nothing there. Throws sys::Error(ECONNRESET) when the spawner is gone.
  std::optional<Answer> receive();

  ~SpawnerClient();
  SpawnerClient(const SpawnerClient&) = delete;
  SpawnerClient& operator=(const SpawnerClient&) = delete;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace hearth::sandbox
