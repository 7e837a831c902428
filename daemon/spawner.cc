// SPDX-License-Identifier: Apache-2.0
#include "daemon/spawner.h"

#include <unistd.h>

#include "sandbox/sys/error.h"
#include "sandbox/sys/log.h"

namespace hearth::daemon {
using loop::Task;
using sandbox::Failure;

// Puts a waiting request on the list of pending ones for as long as its frame lives.
class Spawner::Registration {
 public:
  Registration(Spawner& spawner, uint64_t id)
      : spawner_(spawner), id_(id), pending_(spawner.loop_) {
    HEARTH_CHECK(spawner_.pending_.emplace(id, &pending_).second);
  }
  ~Registration() { spawner_.pending_.erase(id_); }
  Registration(const Registration&) = delete;
  Registration& operator=(const Registration&) = delete;
  Pending& pending() { return pending_; }

 private:
  Spawner& spawner_;
  uint64_t id_;
  Pending pending_;
};

Spawner::Spawner(loop::Loop& loop, sandbox::SpawnerClient& client, std::function<void()> lost)
    : loop_(loop), client_(client), lost_(std::move(lost)), poll_(loop, client.fd()) {
  poll_.on_readable([this] { pump(); });
}

void Spawner::flush_later() {
  if (client_.wants_write()) poll_.when_writable([this] { pump(); });
}

void Spawner::pump() {
  try {
    client_.flush();
    while (std::optional<sandbox::Answer> answer = client_.receive()) deliver(std::move(*answer));
    flush_later();
  } catch (const sys::Error& error) {
    sys::log::error("lost hearth-spawner", {{"error", error.what()}});
    poll_.on_readable({});
    lost_();
  }
}

void Spawner::deliver(sandbox::Answer answer) {
  uint64_t id = std::visit([](const auto& a) { return a.id; }, answer);
  auto found = pending_.find(id);
  if (found != pending_.end()) {
    found->second->answer = std::move(answer);
    found->second->done.set();
    return;
  }
  // Whoever asked was cancelled. A sandbox that nobody holds must not live.
  if (auto* created = std::get_if<sandbox::Created>(&answer)) {
    (void)!::write(created->descriptors.cgroup_kill.get(), "1", 1);
    client_.remove(created->id);
  }
}

Task<sandbox::Answer> Spawner::answer_to(uint64_t id) {
  Registration registration(*this, id);
  flush_later();
  co_await registration.pending().done.wait();
  co_return std::move(*registration.pending().answer);
}

Task<std::variant<sandbox::Descriptors, Failure>> Spawner::create(sandbox::Spec spec) {
  client_.create(spec);
  sandbox::Answer answer = co_await answer_to(spec.id);
  if (auto* created = std::get_if<sandbox::Created>(&answer))
    co_return std::move(created->descriptors);
  if (auto* refused = std::get_if<sandbox::Refused>(&answer)) co_return std::move(refused->failure);
  co_return Failure{"create", "answer", EPROTO};
}

namespace {

std::optional<Failure> failure_in(sandbox::Answer& answer) {
  if (auto* refused = std::get_if<sandbox::Refused>(&answer)) return std::move(refused->failure);
  return std::nullopt;
}

}  // namespace

Task<std::optional<Failure>> Spawner::specialise(uint64_t id, std::string bundle,
                                                 sandbox::Limits limits, std::string function) {
  client_.specialise(id, bundle, limits, function);
  sandbox::Answer answer = co_await answer_to(id);
  co_return failure_in(answer);
}

Task<std::optional<Failure>> Spawner::remove(uint64_t id) {
  client_.remove(id);
  sandbox::Answer answer = co_await answer_to(id);
  co_return failure_in(answer);
}

void Spawner::hurry(uint64_t id) try {
  client_.kill(id);
  flush_later();
} catch (const sys::Error& error) {
  // As below.
  sys::log::warning("sandbox is not hurried", {{"sandbox", id}, {"error", error.what()}});
}

void Spawner::discard(uint64_t id) try {
  client_.remove(id);
  flush_later();
} catch (const sys::Error& error) {
  // Called as frames unwind, so it must not throw. A spawner that is gone took its sandboxes along.
  sys::log::warning("sandbox is not discarded", {{"sandbox", id}, {"error", error.what()}});
}

Task<std::optional<Failure>> Spawner::prune(std::string tenant, std::string function) {
  uint64_t request = next_request_++;
  client_.prune(request, tenant, function);
  sandbox::Answer answer = co_await answer_to(request);
  co_return failure_in(answer);
}

}  // namespace hearth::daemon
