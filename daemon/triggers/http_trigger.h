// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "daemon/http/message.h"
#include "daemon/invocation.h"

namespace hearth::daemon {

// ANY /fn/TENANT/NAME[/rest][?query]: a request becomes a call, the call's answer a response.
// Requests for other paths are the caller's.
loop::Task<http::Response> serve_function(Services& services, http::Request& request);

// The response for a call that was refused or failed, with the Hearth-* headers. Used by the
// management API too.
http::Response error_response(const Answer& answer, const ledger::Ulid& id);

// Hearth-Call-Id and, after a run, Hearth-Start, Hearth-Run-Us, Hearth-Billed-Ms, Hearth-Cpu-Us,
// Hearth-Memory-Peak.
void add_call_headers(http::Response& response, const ledger::Ulid& id,
                      const std::optional<ledger::Record>& record);

}  // namespace hearth::daemon
