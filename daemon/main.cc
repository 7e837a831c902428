// SPDX-License-Identifier: Apache-2.0
// hearthd: prepares as root, gives root up, serves, stops.
#include <sys/prctl.h>
#include <systemd/sd-daemon.h>

#include <cstdlib>
#include <exception>
#include <iostream>

#include "daemon/check.h"
#include "daemon/daemon.h"
#include "daemon/options.h"
#include "daemon/start_up.h"
#include "sandbox/sys/log.h"

using namespace hearth;

int main(int argc, char** argv) {
  daemon::Options options = daemon::parse_options(argc, argv);
  daemon::set_up_log(options.config);
  try {
    if (options.mode == daemon::Mode::kCheck) return daemon::check_host(options);

    daemon::Identity identity = daemon::find_identity(options.config);
    sys::Fd lock = daemon::prepare_folders(options.config, identity);
    std::string cgroup_base = daemon::prepare_cgroups(options.config);
    sandbox::Disks disks = daemon::find_disks(options, cgroup_base);
    std::unique_ptr<sandbox::SpawnerClient> spawner =
        daemon::start_spawner(options, cgroup_base, disks);
    // Sockets come before the drop, because ports below 1024 and the runtime folder are root's.
    daemon::Listeners listeners = daemon::open_listeners(options.config, identity);
    daemon::drop_privileges(identity);

    return daemon::serve(options, identity, *spawner, cgroup_base, disks, std::move(listeners));
  } catch (const std::exception& error) {
    sys::log::error("hearthd cannot go on", {{"error", error.what()}});
    return EXIT_FAILURE;
  }
}
