// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>

#include "sandbox/spawner/faults.h"
#include "sandbox/spec.h"

// Turns a generic sandbox into a function's: its code appears at /var/task, and what was bounded by
// the generic limits gets the function's. hearth-init has no privilege to do this, and must not.
namespace hearth::sandbox::spawner {

// Through a short-lived process that enters the sandbox' user and mount namespaces. `bundle` is an
// unattached mount, `processes` the text of the sandbox' cgroup.procs. The function's resource
// limits must not exceed those that the sandbox was made with. Throws sys::Error; the sandbox may
// then be half changed and is of no further use.
void specialise(int pidfd, int bundle, const Limits& limits, const std::string& processes,
                Faults& faults);

std::span<const char* const> specialise_steps();

}  // namespace hearth::sandbox::spawner
