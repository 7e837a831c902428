// SPDX-License-Identifier: Apache-2.0
// A sandbox's life as seen from hearthd: built, loaded, recycled, destroyed. Each step tells the
// pool how it ended.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "daemon/fleet_sandbox.h"
#include "sandbox/sys/fail_point.h"
#include "sandbox/sys/log.h"

namespace hearth::daemon {
using loop::Task;
using pool::SandboxId;
namespace {

uint64_t microseconds_since(Clock::time_point start) {
  return static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - start).count());
}

// Has the spawner remove a sandbox when the frame ends, however it ends.
class Removal {
 public:
  Removal(Spawner& spawner, uint64_t id) : spawner_(spawner), id_(id) {}
  ~Removal() { spawner_.discard(id_); }
  Removal(const Removal&) = delete;
  Removal& operator=(const Removal&) = delete;

 private:
  Spawner& spawner_;
  uint64_t id_;
};

// A bundle's own program that the kernel will not run is the code's failure, not the host's.
void blame_program(StartFailure& failure) {
  const sandbox::Failure& f = failure.failure;
  bool hosts = f.error == ENOMEM || f.error == EAGAIN || f.error == EMFILE || f.error == ENFILE;
  if (f.step != "exec" || hosts) return;
  failure.code_failed = true;
  failure.type = "LoadError";
  failure.message = fmt::format("'{}' cannot be started: {}{}", f.object, std::strerror(f.error),
                                f.error == ENOENT ? " (is its interpreter in the image?)" : "");
}

}  // namespace

sandbox::Spec Fleet::spec_of(const Sandbox& sandbox) const {
  sandbox::Spec spec;
  spec.id = uint64_t(sandbox.id);
  spec.tenant = sandbox.tenant;
  spec.image = sandbox.image;
  spec.limits = options_.limits_max;
  if (!sandbox.version) {
    spec.limits.memory_bytes = options_.pool.generic_memory_bytes;
    spec.limits.tmp_bytes = uint64_t{registry::Manifest{}.tmp_mb} << 20;
    return spec;
  }
  spec.function = sandbox.version->manifest.name;
  spec.bundle = sandbox.version->hash;
  spec.limits = limits_of(sandbox.version->manifest, options_.limits_max);
  return spec;
}

// A process that is killed while it waits for a disk ends when its read is done, and reads that are
// held back may have minutes before them. Only the spawner may lift that.
void Fleet::hurry_when_killed(Sandbox& sandbox, const sandbox::Limits& limits) {
  if (limits.io_bytes_per_s == 0 && limits.io_reads_per_s == 0) return;
  sandbox.worker->on_kill([this, id = sandbox.id] { spawner_.hurry(uint64_t(id)); });
}

// Namespaces, mounts, cgroup and PID 1; no program yet.
Task<std::optional<StartFailure>> Fleet::set_up(Sandbox& sandbox) {
  sys::fail_point("start.asked");
  sandbox::Spec spec = spec_of(sandbox);
  auto made = co_await spawner_.create(spec);
  sys::fail_point("start.made");
  if (auto* failure = std::get_if<sandbox::Failure>(&made)) {
    co_return StartFailure{std::move(*failure), false, {}, {}, {}};
  }
  SandboxId id = sandbox.id;
  sandbox.worker =
      std::make_unique<Worker>(loop_, uint64_t(id), std::move(std::get<sandbox::Descriptors>(made)),
                               [this, id] { lost(id); });
  hurry_when_killed(sandbox, spec.limits);
  auto failure = co_await sandbox.worker->ready(options_.setup_limit);
  sys::fail_point("start.set_up");
  co_return failure;
}

// The runtime's program with the function's code loaded: fit for a call.
Task<std::optional<StartFailure>> Fleet::start_code(Sandbox& sandbox,
                                                    std::vector<std::string>* notes) {
  Clock::time_point begun = Clock::now();
  Worker& worker = *sandbox.worker;
  const registry::Version& version = *sandbox.version;
  std::optional<StartFailure> failure;
  // An exec program that wants the request in its environment starts when the request is there.
  bool on_arrival = version.manifest.exec_http_env;
  if (!sandbox.generic_started && !on_arrival)
    failure = co_await worker.start(start_of(version), options_.load_limit);
  sys::fail_point("start.started");
  if (on_arrival) worker.prepare(start_of(version));
  if (failure && !wants_json(version.manifest.runtime)) blame_program(*failure);
  if (!failure && is_framed(version.manifest.runtime)) {
    failure = co_await worker.load(load_meta(version), notes, options_.load_limit);
  }
  sys::fail_point("start.loaded");
  sandbox.init_us = microseconds_since(begun);
  co_return failure;
}

// The same with what the code prints while it loads in the function's log, under an id of its own.
Task<std::optional<StartFailure>> Fleet::start_logged(Sandbox& sandbox) {
  std::shared_ptr<const registry::Version> version = sandbox.version;
  // A raw program does not load: what it prints before its call arrives is that call's.
  if (!is_framed(version->manifest.runtime)) co_return co_await start_code(sandbox, nullptr);
  const ledger::Ulid load = ledger::Ulid::make();
  const std::string& name = version->manifest.name;
  ledger::LogStore& logs = logs_;
  sandbox.worker->set_log(
      [&logs, version, load](LogStream stream, std::string_view bytes) {
        logs.append(version->tenant, version->manifest.name, load, ledger::Stream(int(stream)),
                    bytes);
      },
      0);
  std::vector<std::string> notes;
  auto failure = co_await start_code(sandbox, &notes);
  sandbox.worker->drain_logs();
  sandbox.worker->set_log(nullptr, 0);
  for (const std::string& note : notes) logs_.note(version->tenant, name, load, note);
  logs_.end_call(version->tenant, name, load);
  co_return failure;
}

Task<void> Fleet::build(SandboxId id) {
  Sandbox& sandbox = *find(id);
  sandbox.step_running = true;
  auto failure = co_await set_up(sandbox);
  if (!failure && sandbox.version) failure = co_await start_logged(sandbox);
  if (!failure && !sandbox.version) {
    failure = co_await sandbox.worker->start(generic_start(sandbox.runtime, sandbox.role),
                                             options_.load_limit);
    sandbox.generic_started = true;
  }
  started(sandbox, std::move(failure));
}

Task<void> Fleet::specialise(SandboxId id) {
  Sandbox& sandbox = *find(id);
  sandbox.step_running = true;
  sandbox.ready = false;
  const registry::Manifest& manifest = sandbox.version->manifest;
  std::optional<StartFailure> failure;
  sandbox::Limits limits = limits_of(manifest, options_.limits_max);
  hurry_when_killed(sandbox, limits);
  auto refused =
      co_await spawner_.specialise(uint64_t(id), sandbox.version->hash, limits, manifest.name);
  if (refused) {
    failure = StartFailure{std::move(*refused), false, {}, {}, {}};
  } else {
    failure = co_await start_logged(sandbox);
  }
  started(sandbox, std::move(failure));
}

Task<void> Fleet::recycle(SandboxId id) {
  Sandbox& sandbox = *find(id);
  sandbox.step_running = true;
  sandbox.ready = false;
  sys::fail_point("recycle.asked");
  auto failure = co_await sandbox.worker->recycle(options_.recycle_limit);
  sys::fail_point("recycle.done");
  // A program that ended without waiting for its call would answer that one with what it said now.
  bool stale = !failure && sandbox.worker->server_ended();
  if (stale || (!failure && !sandbox.worker->dead() && grew(sandbox))) sandbox.stopping = true;
  // The code loaded before, so what failed is this sandbox, not the function.
  started(sandbox, std::move(failure), Blame::kSandbox);
}

// Tells the pool how a start ended. A failed sandbox is destroyed; if its function is to blame, so
// are the calls that wait for it.
void Fleet::started(Sandbox& sandbox, std::optional<StartFailure> failure, Blame blame) {
  SandboxId id = sandbox.id;
  sandbox.step_running = false;
  if (sandbox.stopping) return tasks_.add(destroy(id));  // the pool gave it up meanwhile
  if (!failure && !sandbox.worker->dead()) {
    sandbox.ready = true;
    return execute(pool_.sandbox_ready(id, now()));
  }
  sandbox.stopping = true;
  if (failure) report(sandbox, std::move(*failure), blame);
  tasks_.add(destroy(id));  // may be done at once: the sandbox is gone from here on
}

void Fleet::report(Sandbox& sandbox, StartFailure failure, Blame blame) {
  sys::log::warning("sandbox did not start",
                    {{"sandbox", uint64_t(sandbox.id)},
                     {"tenant", sandbox.tenant},
                     {"function", sandbox.version ? sandbox.version->manifest.name : "-"},
                     {"step", failure.failure.step},
                     {"object", failure.failure.object},
                     {"error", std::strerror(failure.failure.error)},
                     {"message", failure.message}});
  if (!sandbox.version || blame == Blame::kSandbox) return;
  // The pool answers with refusals, now and until the next attempt: they all take this reason.
  activations_.at(sandbox.activation).start_failure = std::move(failure);
  execute(pool_.start_failed(sandbox.id, now()));
}

// PID 1 or the waiting process died while no call ran.
void Fleet::lost(SandboxId id) {
  Sandbox* sandbox = find(id);
  if (sandbox == nullptr || !sandbox->ready || sandbox->calling || sandbox->stopping) return;
  give_up(*sandbox);
  execute(pool_.sandbox_gone(id, now()));  // before it is given to a call
}

void Fleet::give_up(Sandbox& sandbox) {
  if (sandbox.stopping) return;
  sandbox.stopping = true;
  sandbox.ready = false;
  if (sandbox.worker) sandbox.worker->kill();
  // A step under way ends soon, now that its processes are dead, and goes on with the destruction.
  if (!sandbox.step_running) tasks_.add(destroy(sandbox.id));
}

Task<void> Fleet::destroy(SandboxId id) {
  Sandbox& sandbox = *find(id);
  if (sandbox.worker) {
    sandbox.worker->kill();
    co_await sandbox.worker->gone();
    sys::fail_point("destroy.killed");
    if (auto failure = co_await spawner_.remove(uint64_t(id))) {
      sys::log::error("sandbox could not be removed", {{"sandbox", uint64_t(id)},
                                                       {"step", failure->step},
                                                       {"object", failure->object},
                                                       {"error", std::strerror(failure->error)}});
    }
  }
  sys::fail_point("destroy.removed");
  forget(id);
  execute(pool_.sandbox_gone(id, now()));
  gone_.notify();
}

void Fleet::forget(SandboxId id) {
  Sandbox* sandbox = find(id);
  auto found = activations_.find(sandbox->activation);
  if (found != activations_.end() && --found->second.sandboxes == 0 && found->second.retired)
    activations_.erase(found);
  sandboxes_.erase(uint64_t(id));
}

Task<std::optional<StartFailure>> Fleet::trial(std::shared_ptr<const registry::Version> version,
                                               std::string* output) {
  while (trials_ >= options_.trials_max) {
    trial_over_.reset();
    co_await trial_over_.wait();
  }
  struct Place {
    Fleet& fleet;
    explicit Place(Fleet& f) : fleet(f) { ++fleet.trials_; }
    ~Place() {
      --fleet.trials_;
      fleet.trial_over_.set();
    }
  } place(*this);

  Sandbox sandbox;
  sandbox.id = SandboxId{next_trial_++};
  Removal removal(spawner_, uint64_t(sandbox.id));  // also when the client goes away half-way
  sandbox.tenant = version->tenant;
  sandbox.runtime = version->manifest.runtime;
  sandbox.image = image_of(version->manifest, options_.default_image);
  sandbox.version = version;
  auto failure = co_await set_up(sandbox);
  if (!sandbox.worker) co_return failure;
  sandbox.worker->set_log(
      [output](LogStream, std::string_view bytes) {
        constexpr size_t kOutputBytesMax = 16 * 1024;
        *output += bytes.substr(0, kOutputBytesMax - std::min(kOutputBytesMax, output->size()));
      },
      0);
  if (!failure) failure = co_await start_code(sandbox, nullptr);
  sandbox.worker->drain_logs();
  sandbox.worker->kill();
  co_await sandbox.worker->gone();
  co_return failure;
}

}  // namespace hearth::daemon
