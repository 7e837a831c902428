// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "daemon/fleet.h"
#include "daemon/loop/task.h"

namespace hearth::daemon {

// Ends calls that exceed a budget which the kernel does not enforce: CPU time always, and in
// best-effort mode memory and processes, by looking every 10 ms at each running call. So a call can
// exceed such a budget by what it manages in that time.
loop::Task<void> watch_budgets(loop::Loop& loop, Fleet& fleet, sandbox::LimitsMode mode);

}  // namespace hearth::daemon
