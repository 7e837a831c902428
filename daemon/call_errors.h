// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "daemon/invocation.h"

// Every way a call can be refused or fail, in the words of the API: kind, stage, message, limit,
// value.
namespace hearth::daemon {

// Before a sandbox is taken.
CallError not_found(const registry::Registry& registry, const Call& call);
std::optional<CallError> check_request(const registry::Version& version, const Call& call);
CallError ledger_full(const Services& services);
Answer refused(Services& services, CallError error);

// No sandbox was to be had. A load error has a record: the function's code ran.
Answer not_leased(Services& services, const Call& call, const registry::Version& version,
                  Refused refusal);

// After the run: what ended it, from what the kernel and hearth-init say.
loop::Task<ledger::Outcome> diagnose(Services& services, Worker& worker,
                                     const registry::Version& version, const CallOutput& output);
CallError call_error(ledger::Outcome outcome, const CallOutput& output,
                     const registry::Version& version, const Services& services);

}  // namespace hearth::daemon
