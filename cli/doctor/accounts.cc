// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <sys/resource.h>

#include <array>
#include <sstream>

#include "cli/doctor/doctor.h"

namespace hearth::cli::doctor {
namespace {

// The ids that sandboxes get unless hearth.toml says otherwise: 4096 blocks of 65536.
constexpr uint64_t kFirstId = 0x70000000;
constexpr uint64_t kEndId = kFirstId + 4096ull * 65536;
constexpr rlim_t kOpenFilesWanted = 16384;

std::vector<std::string> fields(const std::string& line) {
  std::vector<std::string> list;
  std::stringstream stream(line);
  for (std::string field; std::getline(stream, field, ':');) list.push_back(field);
  return list;
}

Finding account(const Host& host) {
  std::stringstream lines(host.read("/etc/passwd").value_or(""));
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with("hearth:")) return ok("account hearth", "exists");
  return {"account hearth", Level::kFail, "missing",
          "hearthd runs as it, and the group of that name may use its socket",
          "systemd-sysusers (after the installation), or: adduser --system --group "
          "--no-create-home hearth"};
}

// Who has ids of the range: "name START COUNT" of subuid and subgid, and accounts.
Finding ids(const Host& host, const char* path, const char* what) {
  std::string check = fmt::format("{} of sandboxes", what);
  std::stringstream lines(host.read(path).value_or(""));
  for (std::string line; std::getline(lines, line);) {
    std::vector<std::string> parts = fields(line);
    if (parts.size() < 3 || line.starts_with('#')) continue;
    uint64_t first = std::strtoull(parts[1].c_str(), nullptr, 10);
    uint64_t end = first + std::strtoull(parts[2].c_str(), nullptr, 10);
    if (parts[0] == "hearth" || end <= kFirstId || first >= kEndId) continue;
    return {
        check, Level::kFail,
        fmt::format("{} gives '{}' the ids {} to {}", path, parts[0], first, end - 1),
        fmt::format("sandboxes use {} to {}; an account with the same ids could kill or read them",
                    kFirstId, kEndId - 1),
        fmt::format("move that line out of the range, or set sandbox.subid_base in "
                    "/etc/hearth/hearth.toml")};
  }
  return ok(check, fmt::format("{} to {} are free", kFirstId, kEndId - 1));
}

Finding real_accounts(const Host& host) {
  std::stringstream lines(host.read("/etc/passwd").value_or(""));
  for (std::string line; std::getline(lines, line);) {
    std::vector<std::string> parts = fields(line);
    if (parts.size() < 3) continue;
    uint64_t id = std::strtoull(parts[2].c_str(), nullptr, 10);
    if (id < kFirstId || id >= kEndId) continue;
    return {"accounts", Level::kFail, fmt::format("'{}' has the id {}", parts[0], id),
            "that id is for sandboxes",
            "give the account another id, or set sandbox.subid_base in /etc/hearth/hearth.toml"};
  }
  return ok("accounts", "none has an id of sandboxes");
}

Finding open_files() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_max == RLIM_INFINITY || limit.rlim_max >= kOpenFilesWanted)
    return ok("open files", fmt::format("up to {}", limit.rlim_max));
  return {"open files", Level::kWarn, fmt::format("up to {}", limit.rlim_max),
          "hearthd holds about 12 descriptors per sandbox and one per connection",
          "the unit sets LimitNOFILE; elsewhere: ulimit -Hn 65536 before hearthd starts"};
}

}  // namespace

Findings check_accounts(const Host& host) {
  return {account(host), ids(host, "/etc/subuid", "user ids"),
          ids(host, "/etc/subgid", "group ids"), real_accounts(host), open_files()};
}

}  // namespace hearth::cli::doctor
