// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace hearth::daemon {

// Appends what every Prometheus client says about its process (`process_cpu_seconds_total` and so
// on), by the names that dashboards know. What /proc does not tell is left out.
void expose_process(std::string& out);

}  // namespace hearth::daemon
