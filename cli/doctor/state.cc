// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>

#include "cli/doctor/doctor.h"
#include "cli/image/tree.h"
#include "cli/units.h"
#include "sandbox/sys/error.h"
#include "sandbox/sys/fd.h"

namespace hearth::cli::doctor {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kDiskWanted = 1ull << 30;

Finding state_folder(const Host& host, const std::string& path) {
  struct stat status {};
  if (::stat(host.path(path).c_str(), &status) != 0) {
    return {"state folder", Level::kWarn, fmt::format("{}: {}", path, std::strerror(errno)),
            "functions, records and images live there",
            "systemd-tmpfiles --create (after the installation), or start hearthd"};
  }
  if (status.st_mode & (S_IWOTH | S_IWGRP)) {
    return {"state folder", Level::kFail,
            fmt::format("{} may be written by others than its owner", path),
            "who writes there decides what runs, as whom, and what the records say",
            fmt::format("chmod go-w {}", path)};
  }
  return ok("state folder", path);
}

Finding disk(const Host& host, const std::string& path) {
  struct statvfs space {};
  if (::statvfs(host.path(path).c_str(), &space) != 0)
    return ok("disk space", "not known: no state folder");
  uint64_t bytes = static_cast<uint64_t>(space.f_bavail) * space.f_frsize;
  uint64_t files = space.f_files == 0 ? UINT64_MAX : space.f_favail;
  if (bytes >= kDiskWanted && files >= 10000)
    return ok("disk space", fmt::format("{} free", human_bytes(bytes)));
  return {
      "disk space", bytes < kDiskWanted / 10 ? Level::kFail : Level::kWarn,
      fmt::format("{} and {} files free in {}", human_bytes(bytes), files, path),
      "without space no call can be recorded, and calls that cannot be recorded are refused",
      fmt::format("make room on the file system of {}; 'hearth image list' shows what images take",
                  path)};
}

// Names of the images, in order. `error` says why the folder cannot be read.
std::vector<std::string> images_in(const Host& host, const std::string& folder,
                                   std::error_code& error) {
  std::vector<std::string> names;
  for (const fs::directory_entry& entry : fs::directory_iterator(host.path(folder), error)) {
    std::string name = entry.path().filename();
    if (!name.starts_with('.')) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

Finding image(const Host& host, const std::string& folder, const std::string& name) {
  std::string check = "image " + name;
  std::string path = folder + "/" + name + "/rootfs";
  std::string rebuild = fmt::format("hearth image delete {}; hearth image build {}", name, name);
  sys::Fd root(::open(host.path(path).c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!root) {
    return {check, errno == EACCES ? Level::kWarn : Level::kFail,
            fmt::format("{}: {}", path, std::strerror(errno)), "its functions cannot start",
            errno == EACCES ? "sudo hearth doctor" : rebuild};
  }
  try {
    std::string bad = first_privileged(root.get());
    if (bad.empty()) return ok(check, "holds no file with special rights");
    return {check, Level::kFail,
            fmt::format("{}{} is setuid, setgid or has capabilities", path, bad),
            "the one kind of file that could give code in a sandbox more rights", rebuild};
  } catch (const sys::Error& error) {
    bool denied = error.code() == EACCES;
    return {check, Level::kWarn, error.what(), "it could not be looked at",
            denied ? "sudo hearth doctor" : rebuild};
  }
}

Findings images(const Host& host, const std::string& state_dir) {
  std::string folder = state_dir + "/images";
  std::error_code error;
  std::vector<std::string> names = images_in(host, folder, error);
  if (error == std::errc::permission_denied)
    return {{"images", Level::kWarn, "not looked at", "only root and hearthd may enter " + folder,
             "sudo hearth doctor"}};
  if (names.empty()) {
    return {{"images", Level::kWarn, "none in " + folder,
             "a function needs one, unless hearth.toml lets it use this host's own /usr",
             "hearth image build python3 (or nodejs, minimal)"}};
  }
  Findings findings;
  for (const std::string& name : names) findings.push_back(image(host, folder, name));
  return findings;
}

Finding clock_sync() {
  struct timex state {};
  int mode = ::adjtimex(&state);
  if (mode >= 0 && mode != TIME_ERROR && !(state.status & STA_UNSYNC))
    return ok("clock", "synchronised");
  return {"clock", Level::kWarn, "not synchronised",
          "records carry the time of this clock, and usage is counted by its days (durations do "
          "not depend on it)",
          "apt-get install systemd-timesyncd, or another NTP client"};
}

}  // namespace

Findings check_state(const Host& host, const Daemon& daemon) {
  Findings findings{state_folder(host, daemon.state_dir), disk(host, daemon.state_dir)};
  for (Finding& finding : images(host, daemon.state_dir)) findings.push_back(std::move(finding));
  findings.push_back(clock_sync());
  return findings;
}

namespace {

// The first line that a program of the host says of its version.
std::string version_of(const std::string& path) {
  std::unique_ptr<FILE, int (*)(FILE*)> pipe(::popen((path + " --version 2>&1").c_str(), "re"),
                                             ::pclose);
  std::array<char, 200> line{};
  if (!pipe || !std::fgets(line.data(), line.size(), pipe.get())) return {};
  std::string text = line.data();
  return text.substr(0, text.find('\n'));
}

Finding program(const Host& host, const std::string& path, const std::string& package,
                const std::string& why) {
  std::string check = package + " on the host";
  if (host.exists(path)) return ok(check, fmt::format("{}: {}", path, version_of(host.path(path))));
  return {check, Level::kWarn, "not installed", why, "apt-get install " + package};
}

}  // namespace

Findings check_runtimes(const Host& host) {
  const std::string why = "only functions with the image 'host' need it";
  return {program(host, "/usr/bin/python3", "python3", why),
          program(host, "/usr/bin/node", "nodejs", why),
          program(host, "/usr/bin/mmdebstrap", "mmdebstrap", "'hearth image build' needs it")};
}

Findings check_daemon(const Daemon& daemon) {
  if (daemon.version.empty()) {
    return {
        {"hearthd", Level::kWarn, daemon.unreachable, "nothing can be deployed or called",
         "systemctl start hearthd; if it does not stay: hearthd --check, journalctl -u hearthd"}};
  }
  if (!daemon.best_effort())
    return {ok("hearthd", fmt::format("runs, version {}; its limits are strict", daemon.version))};
  return {{"hearthd", Level::kWarn,
           fmt::format("runs, version {}; its limits are best effort", daemon.version),
           "a limit may be passed for a moment before the sandbox is killed; status and records "
           "name the means",
           "mend the cgroup controllers above, then start it with --limits=strict"}};
}

}  // namespace hearth::cli::doctor
