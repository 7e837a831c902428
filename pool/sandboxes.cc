// SPDX-License-Identifier: Apache-2.0
#include "pool/state.h"

// A sandbox is started, becomes ready, goes.
namespace hearth::pool {

namespace {

// So many starts in a row that end without a word refuse the calls that wait for them.
constexpr uint32_t kStartsLostMax = 3;

}  // namespace

// The sandboxes that may serve calls which wait now, sooner or later.
uint32_t Pool::State::serving(const Version& version) const {
  const Census& census = version.sandboxes;
  if (version.spec.reuse == Reuse::kNever) return census[Phase::kReady];
  return census[Phase::kReady] + census[Phase::kRunning] + census[Phase::kRecycling];
}

void Pool::State::move(Sandbox& sandbox, Phase phase) {
  books.move(sandbox, phase, now);
  Shelf& shelf = sandbox.version ? sandbox.version->shelf : sandbox.generics->shelf;
  if (phase == Phase::kReady && shelf.idle.size() > shelf.kept) {
    wake_at(shelf, now + limits.idle_min);
  } else if (phase == Phase::kGeneric) {
    wake_at(shelf, shelf.generics->last_active + limits.generic_idle);
  }
  if (sandbox.version) note(*sandbox.version);
}

void Pool::State::destroy(Sandbox& sandbox) {
  if (sandbox.phase == Phase::kStopping) return;
  assert(!sandbox.call);
  move(sandbox, Phase::kStopping);
  out.emplace_back(Destroy{sandbox.id});
}

void Pool::State::destroy_idle(Shelf& shelf) {
  destroy(*shelf.idle.front());
}

void Pool::State::ready(Sandbox& sandbox) {
  Version* version = sandbox.version;
  const Duration took = now - sandbox.since;
  switch (sandbox.phase) {
    case Phase::kBuilding:
    case Phase::kSpecialising:
      if (version) {
        version->start.add(took);
        version->shelf.backoff.started();
        version->start_refused = false;
        if (sandbox.phase == Phase::kSpecialising && version->generics) {
          version->generics->shelf.backoff.proved();
        }
        break;
      }
      sandbox.generics->shelf.backoff.started();
      move(sandbox, Phase::kGeneric);
      if (sandbox.generics->versions == 0) destroy(sandbox);
      start_for_calls();
      return upkeep();
    case Phase::kRecycling:
      version->recycle.add(took);
      break;
    default:
      return;  // destroyed meanwhile, or told twice
  }
  if (sandbox.used && must_yield(*version)) {
    destroy(sandbox);
  } else {
    move(sandbox, Phase::kReady);
  }
  settle(*version);
}

void Pool::State::gone(Sandbox& sandbox) {
  const Phase phase = sandbox.phase;
  Version* version = sandbox.version;
  Generics* base = sandbox.generics;
  // One that came up and died before any call is a failure too: warm_min would start it for ever.
  const bool lost = phase == Phase::kBuilding || phase == Phase::kSpecialising ||
                    (phase == Phase::kReady && !sandbox.used) || phase == Phase::kGeneric;
  if (sandbox.call) sandbox.call->sandbox = nullptr;  // the call ends by call_finished
  books.close(sandbox.id);
  Shelf& shelf = version ? version->shelf : base->shelf;
  if (lost) {
    shelf.backoff.failed(now);
    if (version) start_lost(*version);
  }
  need_upkeep(shelf);
  if (version) {
    settle(*version);
    forget_if_done(*version);
  } else {
    start_for_calls();
    upkeep();
    forget_if_done(*base);
  }
}

void Pool::State::start_lost(Version& version) {
  if (version.shelf.backoff.failures() < kStartsLostMax) return;
  if (serving(version) > 0) return;
  version.start_refused = true;
  refuse_all_waiting(version, Refusal::kStartFailed, version.shelf.backoff.until() - now);
}

void Pool::State::fail_start(Sandbox& sandbox) {
  const bool starting = sandbox.phase == Phase::kBuilding || sandbox.phase == Phase::kSpecialising;
  if (!starting) return;
  Version* version = sandbox.version;
  Shelf& shelf = version ? version->shelf : sandbox.generics->shelf;
  shelf.backoff.failed(now);
  destroy(sandbox);
  need_upkeep(shelf);
  if (!version) {
    start_for_calls();
    return upkeep();
  }
  if (serving(*version) == 0) {
    version->start_refused = true;
    refuse_all_waiting(*version, Refusal::kStartFailed, shelf.backoff.until() - now);
  }
  settle(*version);
}

}  // namespace hearth::pool
