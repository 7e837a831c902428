// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "daemon/options.h"

namespace hearth::daemon {

// `hearthd --check`: would it start here? Prints a line per condition with the fix for what fails;
// changes nothing. 0 if it would, 1 if not.
int check_host(const Options& options);

}  // namespace hearth::daemon
