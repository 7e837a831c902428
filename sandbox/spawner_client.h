// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "sandbox/spec.h"
#include "sandbox/sys/fd.h"

// hearthd's side of the spawner: requests out, answers in, no event loop. This is the seam where another backend (a
// virtual machine) could stand.
namespace hearth::sandbox {

// What the spawner enforces, fixed when it is started (as its arguments), before hearthd gave up its privileges.
struct SpawnerPolicy {
  std::string state_dir;
  std::string init_path;      // hearth-init
  std::string runtimes_dir;   // mounted read-only at /var/runtime
  std::string cgroup_base;    // absolute; made if missing
  LimitsMode mode = LimitsMode::kStrict;
  bool host_image = false;    // may the image "host" be used?
  uint32_t subid_base = 0x70000000;
  uint32_t subid_blocks = 4096;  // sandboxes alive at once
  Limits limits_max;          // no request may exceed these
};

struct Created { uint64_t id = 0; Descriptors descriptors; int32_t init_host_pid = 0; };
struct Done { uint64_t id = 0; };  // specialise, remove, prune
struct Refused { uint64_t id = 0; Failure failure; };
using Answer = std::variant<Created, Done, Refused>;

class SpawnerClient {
 public:
  // Starts hearth-spawner (fork and exec; call it before any thread exists). Throws sys::Error.
  SpawnerClient(const std::string& spawner_path, const SpawnerPolicy& policy);

  int fd() const;  // non-blocking; readable: call receive()

  // Each sends one message; `id` comes back in the answer. Requests that the full socket did not take are kept in order
  // and sent by flush(), to be called when fd() is writable while wants_write().
  void create(const Spec& spec);
  void specialise(uint64_t id, const std::string& bundle, const Limits& limits, const std::string& function);
  void remove(uint64_t id);  // after the tree is dead; waits for nothing, removes the cgroup
  void prune(uint64_t request, const std::string& tenant, const std::string& function);  // empty function: the tenant
  void purge(uint64_t request);  // at start: kill and remove every cgroup below the base that this run did not make
  bool wants_write() const;
  void flush();

  // nullopt: nothing there. Throws sys::Error(ECONNRESET) when the spawner is gone.
  std::optional<Answer> receive();

 private:
  struct State;
  State* state_;

 public:
  ~SpawnerClient();
  SpawnerClient(const SpawnerClient&) = delete;
  SpawnerClient& operator=(const SpawnerClient&) = delete;
};

}  // namespace hearth::sandbox
