// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sandbox/spec.h"

// What the host's cgroup v2 tree offers. All of it may be read without privileges, except
// prepare_base.
namespace hearth::sandbox::cgroup {

// The mount point of cgroup v2, from /proc/self/mountinfo. Throws sys::Error(ENODEV) without one.
std::string find_mount();

// This process' own cgroup below that mount: "/" or "/system.slice/hearthd.service".
std::string own_path();

// What `path` (absolute) may hand to its children: "cpu", "memory", … Throws sys::Error.
std::vector<std::string> controllers(const std::string& path);

// Whether files like memory.max exist in the children of `path` once enabled.
bool has_controller(const std::string& path, std::string_view name);

// Whether systemd made the cgroup for a unit and kept it: it may take away any controller again.
bool is_withheld(const std::string& path);

// The controllers without which a sandbox' limits cannot be enforced.
inline constexpr std::string_view kNeeded[] = {"cpu", "memory", "pids"};

// Makes the cgroup below which this instance's sandboxes live, readable by everybody, and returns
// its path. To be called once, as root, before the spawner is started.
//
// Strict: below this process' own cgroup, which must be delegated to it; every process in there
// moves to its child `supervisor`, since the kernel allows no processes beside enabled controllers.
// Throws sys::Error(ENOTSUP) naming the controllers that are missing, or EPERM when systemd keeps
// it. Best effort: below the mount, whatever the controllers.
std::string prepare_base(LimitsMode mode, const std::string& instance_name);

// Writes `value` to the file `name` in the cgroup `directory`; `path` is its name in the error.
void write_file(int directory, const char* name, std::string_view value, std::string_view path);

// Enables what of cpu, memory, pids and io the cgroup was given itself. Strict: throws unless the
// needed ones are among them.
void enable_controllers(int directory, LimitsMode mode, const std::string& path);

// A path as mountinfo writes it, with space, tab, newline and backslash as \ooo, in plain.
std::string unescape(std::string_view text);

// A small kernel file as text. Throws sys::Error.
std::string read_file(int directory, const std::string& name, std::string_view path = {});

}  // namespace hearth::sandbox::cgroup
