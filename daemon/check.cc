// SPDX-License-Identifier: Apache-2.0
#include "daemon/check.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <iostream>

#include "daemon/start_up.h"
#include "sandbox/cgroup.h"

namespace hearth::daemon {
namespace fs = std::filesystem;
namespace {

class Report {
 public:
  // A condition holds when `test` returns; it throws with the reason and the fix.
  void check(const std::string& what, const std::function<std::string()>& test) {
    try {
      std::cout << fmt::format("ok    {}: {}\n", what, test());
    } catch (const std::exception& error) {
      std::cout << fmt::format("FAIL  {}: {}\n", what, error.what());
      failed_ = true;
    }
  }
  bool failed() const { return failed_; }

 private:
  bool failed_ = false;
};

std::string check_cgroups(const Config& config) {
  std::string mount = sandbox::cgroup::find_mount();
  std::string own = sandbox::cgroup::own_path();
  std::string path = own == "/" ? mount : mount + own;
  std::string missing;
  for (std::string_view name : sandbox::cgroup::kNeeded) {
    if (!sandbox::cgroup::has_controller(path, name)) missing += fmt::format(" {}", name);
  }
  if (sandbox::cgroup::is_withheld(path)) missing += " delegation";
  if (missing.empty()) return fmt::format("{} has every controller", path);
  if (config.limits == sandbox::LimitsMode::kBestEffort) {
    return fmt::format("{} lacks{}; limits are kept by weaker means, which status and records name",
                       path, missing);
  }
  throw std::runtime_error(
      fmt::format("{} lacks{}; run hearthd as a service with Delegate=yes, or accept weaker limits "
                  "with --limits=best-effort",
                  path, missing));
}

// The cgroup that a start makes has what this process' own has.
std::string check_reads(const Options& options) {
  std::string own = sandbox::cgroup::own_path();
  if (own == "/") return "hearthd says when it runs";
  sandbox::Disks disks = find_disks(options, sandbox::cgroup::find_mount() + own);
  return disks.obstacle.empty() ? "io.max of " + disks.devices : "not limited: " + disks.obstacle;
}

std::string check_programs(const Options& options) {
  for (const char* name : {"hearth-spawner", "hearth-init", "runtimes"}) {
    if (!fs::exists(options.libexec_dir + "/" + name)) {
      throw std::runtime_error(fmt::format("{}/{} is missing; install Hearth with `meson install`",
                                           options.libexec_dir, name));
    }
  }
  return options.libexec_dir;
}

std::string check_images(const Config& config) {
  size_t images = 0;
  std::error_code none;
  for (const fs::directory_entry& entry :
       fs::directory_iterator(config.state_dir + "/images", none)) {
    images += fs::is_directory(entry.path() / "rootfs") ? 1 : 0;
  }
  if (images == 0 && !config.host_image) {
    throw std::runtime_error(
        "no image; make one with `hearth image build python3`, or set host_image = true for "
        "development");
  }
  return fmt::format("{} built{}", images,
                     config.host_image ? ", and the host's own /usr (development)" : "");
}

}  // namespace

int check_host(const Options& options) {
  const Config& config = options.config;
  Report report;
  report.check("configuration", [&] { return options.config_path; });
  report.check("privileges", [] {
    if (::geteuid() != 0)
      throw std::runtime_error(
          "hearthd starts as root (and gives it up); run it as a service or with sudo");
    return std::string("root");
  });
  report.check("user",
               [&] { return fmt::format("{} is uid {}", config.user, find_identity(config).uid); });
  report.check("programs", [&] { return check_programs(options); });
  report.check("cgroups", [&] { return check_cgroups(config); });
  report.check("disk reads", [&] { return check_reads(options); });
  report.check("images", [&] { return check_images(config); });
  std::cout << (report.failed() ? "hearthd would not serve here; `hearth doctor` says more\n"
                                : "hearthd would start\n");
  return report.failed() ? EXIT_FAILURE : EXIT_SUCCESS;
}

}  // namespace hearth::daemon
