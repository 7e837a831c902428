// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <set>
#include <string>
#include <unordered_set>
#include <vector>

#include "sandbox/spec.h"
#include "sandbox/sys/fd.h"

// The cgroups of one instance: BASE/tenants/T/functions/F/s-ID and BASE/tenants/T/generic/s-ID.
// Everything goes through one descriptor of BASE; paths here and in errors are relative to it.
// Names were checked when the request was decoded, and cgroupfs has no symbolic links.
namespace hearth::sandbox::spawner {

class Groups {
 public:
  // `base` is made if missing, and locked; waits up to 20 s for another holder of the lock, then
  // throws sys::Error. Strict: throws it too when a controller cannot be enabled. `io_devices` are
  // the policy's.
  Groups(const std::string& base, LimitsMode mode, const std::string& io_devices = {});

  // Where a sandbox' processes live. It outlives this object: remove() ends it.
  struct Leaf {
    std::string path;
    sys::Fd directory;  // O_PATH
  };
  // Makes the leaf with its limits in force. Throws sys::Error; then nothing of the leaf is left.
  Leaf create(const std::string& tenant, const std::string& function, uint64_t id,
              const Limits& limits);

  // Strict: every limit, or an error. Best effort: those that the host has a file for.
  void set_limits(const std::string& leaf, const Limits& limits);

  // Opens what hearthd reads and kills with; nothing that could widen a limit or take in a process.
  void open_files(const Leaf& leaf, Descriptors& out) const;

  std::string processes(const std::string& leaf) const;  // the text of cgroup.procs
  // Every process in it, at once. Their limits on reading go: a process ends only when what it
  // reads is there, and a page that waits for its turn is locked for all who share the file.
  void kill(const std::string& leaf) const;
  bool remove(const std::string& leaf);  // false: processes are left in it

  // Removes an empty cgroup of a function, or of a tenant when `function` is empty.
  void prune(const std::string& tenant, const std::string& function);

  // Kills and removes every cgroup below tenants/ but those of `leaves` and what leads to them.
  void purge(const std::set<std::string>& leaves);

 private:
  void make_parents(const std::string& tenant, const std::string& function);
  void make_parent(const std::string& path);
  void set_limits_at(int directory, const std::string& path, const Limits& limits) const;
  void limit_reads(int directory, const std::string& path, const Limits& limits) const;
  void remove_if_exists(const std::string& path) const;

  LimitsMode mode_;
  std::vector<std::string> io_devices_;  // "8:0"
  sys::Fd base_;
  // Parents that exist with their controllers enabled, so that the usual sandbox costs one mkdir.
  std::unordered_set<std::string> parents_;
};

}  // namespace hearth::sandbox::spawner
