// SPDX-License-Identifier: Apache-2.0
#include "daemon/fleet.h"

#include <fmt/format.h>

#include <utility>

#include "daemon/counters.h"
#include "daemon/fleet_sandbox.h"
#include "sandbox/sys/error.h"
#include "sandbox/sys/fail_point.h"
#include "sandbox/sys/log.h"

namespace hearth::daemon {
using loop::Task;
using pool::SandboxId;
namespace {

// A step of a sandbox's life that the host made impossible (no descriptors, no memory): the
// sandbox's own destruction follows from its dead processes, so it is only told.
void task_failed(std::exception_ptr error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    sys::log::error("sandbox task failed", {{"error", e.what()}});
  }
}

Task<void> prune_cgroup(Spawner& spawner, std::string tenant, std::string function) {
  auto failure = co_await spawner.prune(tenant, function);
  // Not empty: it came back meanwhile.
  if (failure)
    sys::log::debug("cgroup stays",
                    {{"tenant", tenant}, {"function", function}, {"object", failure->object}});
}

}  // namespace

// A call that waits for its sandbox. Destroyed before an answer came: the call is given up.
class Fleet::Ticket {
 public:
  Ticket(Fleet& fleet, pool::CallId call) : fleet_(fleet), call_(call), event_(fleet.loop_) {
    fleet_.waiting_.emplace(uint64_t(call_), this);
  }
  ~Ticket() {
    fleet_.waiting_.erase(uint64_t(call_));
    if (!answer_) fleet_.execute(fleet_.pool_.call_cancelled(call_, fleet_.now()));
  }
  Ticket(const Ticket&) = delete;
  Ticket& operator=(const Ticket&) = delete;

  bool answered() const { return answer_.has_value(); }
  auto wait() { return event_.wait(); }
  void answer(std::variant<Lease, Refused> answer) {
    answer_.emplace(std::move(answer));
    event_.set();
  }
  std::variant<Lease, Refused> take() { return std::move(*answer_); }

 private:
  Fleet& fleet_;
  pool::CallId call_;
  loop::Event event_;
  std::optional<std::variant<Lease, Refused>> answer_;
};

Lease::Lease(Lease&& other) noexcept
    : fleet_(std::exchange(other.fleet_, nullptr)),
      call_(other.call_),
      sandbox_(other.sandbox_),
      worker_(other.worker_),
      start_(other.start_),
      init_us_(other.init_us_),
      finish_(other.finish_) {}

Lease::~Lease() {
  if (fleet_ != nullptr) fleet_->finish(call_, sandbox_, finish_);
}

Fleet::Fleet(loop::Loop& loop, Spawner& spawner, ledger::LogStore& logs, FleetOptions options)
    : loop_(loop),
      spawner_(spawner),
      logs_(logs),
      options_(std::move(options)),
      pool_(options_.pool),
      trial_over_(loop),
      gone_(loop),
      busy_(loop),
      tasks_(loop, task_failed) {
  tasks_.add(ticking());
}

Fleet::~Fleet() {
  kill_all();
}

pool::Time Fleet::now() const {
  return std::chrono::time_point_cast<pool::Duration>(Clock::now());
}

Fleet::Sandbox* Fleet::find(SandboxId id) {
  auto found = sandboxes_.find(uint64_t(id));
  return found == sandboxes_.end() ? nullptr : found->second.get();
}

// What exists ------------------------------------------------------------------------------------

void Fleet::set_tenant(const std::string& tenant, uint32_t concurrency_max) {
  pool_.set_tenant(tenant, {concurrency_max, 1});
}

void Fleet::remove_tenant(const std::string& tenant) {
  pool_.remove_tenant(tenant);
  prune(tenant, "");
}

void Fleet::add_function(const std::shared_ptr<const registry::Version>& version) {
  const registry::Manifest& manifest = version->manifest;
  uint32_t activation = next_activation_++;
  activations_[activation].version = version;
  live_[version->id] = activation;
  pool::Function function;
  function.tenant = version->tenant;
  function.name = manifest.name;
  if (starts_generic(manifest)) {
    function.generic_key = generic_key({version->tenant, image_of(manifest, options_.default_image),
                                        manifest.runtime, role_of(manifest)});
  }
  function.reuse = pool::Reuse(int(manifest.reuse));
  if (manifest.exec_http_env)
    function.reuse = pool::Reuse::kNever;  // its program cannot be started before the call
  function.memory_bytes = uint64_t{manifest.memory_mb} << 20;
  function.concurrency_max = manifest.concurrency_max;
  function.warm_min = manifest.warm_min;
  execute(pool_.add_function(pool::FunctionId{activation}, std::move(function), now()));
}

void Fleet::retire_function(const registry::Version& version) {
  auto found = live_.find(version.id);
  if (found == live_.end()) return;
  uint32_t activation = found->second;
  live_.erase(found);
  activations_.at(activation).retired = true;
  execute(pool_.retire_function(pool::FunctionId{activation}, now()));
  if (activations_.at(activation).sandboxes == 0) activations_.erase(activation);
}

Task<void> Fleet::function_idle(std::string tenant, std::string function) {
  auto belongs = [&](const auto& entry) {
    const Sandbox& sandbox = *entry.second;
    if (!sandbox.version || sandbox.tenant != tenant) return false;
    if (sandbox.version->manifest.name != function) return false;
    auto activation = activations_.find(sandbox.activation);
    return activation == activations_.end() || activation->second.retired;
  };
  while (std::any_of(sandboxes_.begin(), sandboxes_.end(), belongs)) co_await gone_.wait();
}

pool::Pool::Counts Fleet::counts(uint32_t version_id) const {
  auto found = live_.find(version_id);
  return found == live_.end() ? pool::Pool::Counts{}
                              : pool_.counts(pool::FunctionId{found->second});
}

// Calls ------------------------------------------------------------------------------------------

Task<std::variant<Lease, Refused>> Fleet::lease(std::shared_ptr<const registry::Version> version) {
  auto live = live_.find(version->id);
  if (live == live_.end()) co_return Refused{pool::Refusal::kFunctionGone, 0, {}, {}};
  uint32_t of = live->second;
  pool::CallId call{next_call_++};
  Ticket ticket(*this, call);
  execute(pool_.call_arrived(call, pool::FunctionId{of}, now()));
  if (!ticket.answered()) co_await ticket.wait();
  auto answer = ticket.take();
  auto* refused = std::get_if<Refused>(&answer);
  if (refused != nullptr && refused->why == pool::Refusal::kStartFailed) {
    auto activation = activations_.find(of);
    if (activation != activations_.end()) refused->failure = activation->second.start_failure;
  }
  co_return answer;
}

void Fleet::finish(pool::CallId call, SandboxId id, pool::Finish finish) {
  sys::fail_point("call.released");
  --calls_;
  Sandbox* sandbox = find(id);
  if (sandbox != nullptr) {
    sandbox->calling = false;
    ++sandbox->calls;
    const Worker& worker = *sandbox->worker;
    bool doubt = worker.dead() || worker.has_unasked() || worn_out(*sandbox);
    if (doubt) finish = pool::Finish::kDoubt;
    if (finish == pool::Finish::kDoubt) sandbox->worker->kill();
  }
  execute(pool_.call_finished(call, finish, now()));
}

// Children of one zygote share its address layout and what its memory held; so it does not live for
// ever.
bool Fleet::worn_out(const Sandbox& sandbox) const {
  if (!has_zygote(sandbox.version->manifest)) return false;
  return sandbox.calls >= options_.zygote_calls_max ||
         Clock::now() - sandbox.born >= options_.zygote_age_max;
}

// Nothing of the function runs in a waiting zygote, but its at-fork handlers do, once for each
// call. The look takes some files of /proc, so it is taken after the first call and then now and
// then.
bool Fleet::grew(Sandbox& sandbox) const {
  constexpr uint64_t kCallsBetweenLooks = 64;
  if (!has_zygote(sandbox.version->manifest) || sandbox.calls % kCallsBetweenLooks != 1)
    return false;
  uint64_t bytes = largest_anonymous_memory(sandbox.worker->descriptors().cgroup_procs.get());
  if (sandbox.zygote_bytes == 0) sandbox.zygote_bytes = bytes;
  return bytes > sandbox.zygote_bytes + options_.zygote_growth_max;
}

Task<void> Fleet::some_call() {
  while (calls_ == 0) co_await busy_.wait();
}

void Fleet::for_each_calling(const std::function<void(Worker&)>& visit) {
  for (auto& [id, sandbox] : sandboxes_) {
    if (sandbox->worker && sandbox->worker->calling()) visit(*sandbox->worker);
  }
}

// Actions ----------------------------------------------------------------------------------------

void Fleet::execute(const pool::Actions& actions) {
  for (const pool::Action& action : actions) {
    std::visit([this](const auto& a) { carry_out(a); }, action);
  }
}

void Fleet::carry_out(const pool::Assign& action) {
  Sandbox& sandbox = *find(action.sandbox);
  Ticket& ticket = *waiting_.at(uint64_t(action.call));
  sandbox.calling = true;
  ++calls_;
  busy_.notify();
  ticket.answer(
      Lease(*this, action.call, action.sandbox, *sandbox.worker, action.start, sandbox.init_us));
}

void Fleet::carry_out(const pool::Refuse& action) {
  auto found = waiting_.find(uint64_t(action.call));
  if (found == waiting_.end()) return;
  found->second->answer(Refused{action.why, action.limit, action.retry_after, {}});
}

void Fleet::carry_out(const pool::Create& action) {
  auto sandbox = std::make_unique<Sandbox>();
  sandbox->id = action.sandbox;
  if (action.function) {
    attach(*sandbox, *action.function);
    sandbox->image = image_of(sandbox->version->manifest, options_.default_image);
  } else {
    Generic generic = split_generic_key(action.generic_key);
    sandbox->tenant = generic.tenant;
    sandbox->image = generic.image;
    sandbox->runtime = generic.runtime;
    sandbox->role = generic.role;
  }
  sandboxes_.emplace(uint64_t(action.sandbox), std::move(sandbox));
  tasks_.add(build(action.sandbox));
}

void Fleet::carry_out(const pool::Specialise& action) {
  Sandbox* sandbox = find(action.sandbox);
  // It was lost, and the pool hears of that when it has gone.
  if (sandbox == nullptr || sandbox->stopping) return;
  attach(*sandbox, action.function);
  tasks_.add(specialise(action.sandbox));
}

void Fleet::carry_out(const pool::Recycle& action) {
  Sandbox* sandbox = find(action.sandbox);
  if (sandbox != nullptr && !sandbox->stopping) tasks_.add(recycle(action.sandbox));
}

void Fleet::carry_out(const pool::Destroy& action) {
  Sandbox* sandbox = find(action.sandbox);
  if (sandbox != nullptr) give_up(*sandbox);
}

void Fleet::attach(Sandbox& sandbox, pool::FunctionId function) {
  Activation& activation = activations_.at(uint32_t(function));
  ++activation.sandboxes;
  sandbox.activation = uint32_t(function);
  sandbox.version = activation.version;
  sandbox.tenant = activation.version->tenant;
  sandbox.runtime = activation.version->manifest.runtime;
}

void Fleet::prune(std::string tenant, std::string function) {
  tasks_.add(prune_cgroup(spawner_, std::move(tenant), std::move(function)));
}

// Draining ---------------------------------------------------------------------------------------

void Fleet::drain() {
  execute(pool_.drain(now()));
}

Task<void> Fleet::drained() {
  while (!sandboxes_.empty()) co_await gone_.wait();
}

void Fleet::kill_all() {
  for (auto& [id, sandbox] : sandboxes_) {
    if (sandbox->worker) sandbox->worker->kill();
  }
}

Task<void> Fleet::ticking() {
  for (;;) {
    bool waiting = pool_.counts().waiting != 0;
    co_await loop::Sleep(loop_, std::chrono::milliseconds(waiting ? 100 : 1000));
    execute(pool_.tick(now()));
  }
}

}  // namespace hearth::daemon
