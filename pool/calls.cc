// SPDX-License-Identifier: Apache-2.0
#include "pool/state.h"

// A call arrives, waits, is assigned, ends.
namespace hearth::pool {

namespace {

constexpr Duration kRunCostUnknown = std::chrono::milliseconds(10);
constexpr Duration kRetryFirst = std::chrono::milliseconds(100);

}  // namespace

void Pool::State::arrive(CallId id, Version& version) {
  version.arrivals.called(now);
  if (version.generics) {
    version.generics->last_active = now;
    need_upkeep(version.generics->shelf);
  }
  if (!books.fits_ever(version.spec.memory_bytes)) {
    return refuse(id, Refusal::kNoMemory, limits.memory_bytes_max, {});
  }
  const Shelf& shelf = version.shelf;
  if (version.start_refused && shelf.backoff.blocks(now) && serving(version) == 0) {
    return refuse(id, Refusal::kStartFailed, 0, shelf.backoff.until() - now);
  }
  const bool at_once = !shelf.idle.empty() && version.waiting.empty() &&
                       version.tenant->running < version.tenant->limits.concurrency_max;
  if (!at_once && !make_room_to_wait(id, version)) return;
  Call& call = calls[id];
  call.id = id;
  call.version = &version;
  call.arrived = now;
  call.number = ++last_call;
  ++version.calls;
  if (at_once) {
    assign(call, *shelf.idle.back());
  } else {
    if (version.waiting.empty()) version.queued_since = now;
    waiting_room.enter(call);
  }
  settle(version);
}

// Whether one more call of the version may wait. Refuses it if not; if the room is full because of
// another tenant, that one's newest call is refused instead.
bool Pool::State::make_room_to_wait(CallId id, Version& version) {
  if (version.waiting.size() >= limits.waiting_per_function_max) {
    refuse(id, Refusal::kQueueFull, limits.waiting_per_function_max, queue_time(version));
    return false;
  }
  if (waiting_room.size() < limits.waiting_max) return true;
  Call* displaced = waiting_room.displaced_by(*version.tenant);
  if (!displaced) {
    refuse(id, Refusal::kRoomFull, limits.waiting_max, queue_time(version));
    return false;
  }
  const Duration retry_after = queue_time(*displaced->version);
  refuse_waiting(*displaced, Refusal::kRoomFull, limits.waiting_max, retry_after);
  return true;
}

// When the calls that wait now may have been served; a guess.
Duration Pool::State::queue_time(const Version& version) const {
  const uint32_t serving = std::max(version.sandboxes[Phase::kRunning], 1u);
  const Duration guess = version.run.or_else(kRunCostUnknown) * version.waiting.size() / serving;
  return std::clamp(guess, std::min(kRetryFirst, limits.wait_max), limits.wait_max);
}

void Pool::State::assign(Call& call, Sandbox& sandbox) {
  Version& version = *call.version;
  assert(sandbox.version == &version && sandbox.phase == Phase::kReady);
  if (call.in_room.linked) waiting_room.leave(call);
  call.running = true;
  call.sandbox = &sandbox;
  call.assigned = now;
  call.charged = order.charge(*version.tenant, version.spec.memory_bytes,
                              version.run.or_else(kRunCostUnknown));
  ++version.tenant->running;
  ++running;
  sandbox.call = &call;
  out.emplace_back(Assign{call.id, sandbox.id, sandbox.used ? Start::kWarm : sandbox.first_start});
  sandbox.used = true;
  move(sandbox, Phase::kRunning);
  const auto idled = version.depths.idle_time(version.sandboxes[Phase::kRunning], call.arrived);
  if (idled) version.arrivals.idled(*idled, limits.idle_min);
  if (version.spec.reuse == Reuse::kNever) need_upkeep(version.shelf);
}

void Pool::State::finish(Call& call, Finish finish) {
  Version& version = *call.version;
  Sandbox* sandbox = call.sandbox;
  if (finish == Finish::kClean) {
    version.run.add(now - call.assigned);
    version.shelf.backoff.proved();
  }
  end_run(call);
  if (sandbox) {
    const Reuse reuse = version.spec.reuse;
    if (finish == Finish::kDoubt || reuse == Reuse::kNever || version.retired || draining ||
        must_yield(version)) {
      destroy(*sandbox);
    } else if (reuse == Reuse::kProcess) {
      move(*sandbox, Phase::kReady);
    } else {
      move(*sandbox, Phase::kRecycling);
      out.emplace_back(Recycle{sandbox->id});
    }
  }
  settle(version);
  forget_if_done(version);
}

// The call no longer runs: its turn is free, and the tenant has used what it really took.
void Pool::State::end_run(Call& call) {
  Tenant& tenant = *call.version->tenant;
  order.settle(tenant, call.charged, call.version->spec.memory_bytes, now - call.assigned);
  --tenant.running;
  --running;
  --call.version->calls;
  if (call.sandbox) {
    call.sandbox->call = nullptr;
    call.version->depths.released(call.version->sandboxes[Phase::kRunning], now);
  }
  calls.erase(CallId(call.id));
}

void Pool::State::cancel(Call& call) {
  Version& version = *call.version;
  if (call.running) {
    Sandbox* sandbox = call.sandbox;
    end_run(call);
    if (sandbox) destroy(*sandbox);
  } else {
    waiting_room.leave(call);
    --version.calls;
    calls.erase(CallId(call.id));
  }
  settle(version);
  forget_if_done(version);
}

void Pool::State::refuse(CallId id, Refusal why, uint64_t limit, Duration retry_after) {
  out.emplace_back(Refuse{id, why, limit, retry_after});
}

void Pool::State::refuse_waiting(Call& call, Refusal why, uint64_t limit, Duration retry_after) {
  refuse(call.id, why, limit, retry_after);
  Version& version = *call.version;
  waiting_room.leave(call);
  --version.calls;
  calls.erase(CallId(call.id));
  note(version);
}

void Pool::State::refuse_all_waiting(Version& version, Refusal why, Duration retry_after) {
  while (!version.waiting.empty()) refuse_waiting(*version.waiting.front(), why, 0, retry_after);
}

}  // namespace hearth::pool
