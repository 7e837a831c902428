// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/registry/manifest.h"

// What exists: tenants, functions, versions. SQLite is the truth; everything is also in memory, so
// that a call's look-up is a hash look-up that makes no system call. A change is on disk before it
// is in memory, and each is one transaction: when one throws (disk full: sys::Error with SQLite's
// text), nothing has changed in either place.
namespace hearth::registry {

struct Tenant {
  std::string name;
  uint32_t concurrency_max = 64;
  uint64_t created_at_us = 0;  // Unix; 0: now
};

struct Version {
  uint32_t id = 0;  // unique over all functions, never used again: the pool's FunctionId
  // 1, 2, … within the function. Never used again either, also after the function is deleted and
  // deployed afresh: records name a version by it.
  uint32_t number = 0;
  std::string tenant, hash;  // hash: the folder in STATE/bundles
  Manifest manifest;
  uint64_t created_at_us = 0, bytes = 0;
};

using VersionPtr = std::shared_ptr<const Version>;

// One thread only.
class Registry {
 public:
  // Throws sys::Error; for a damaged file it says so. Makes the tenant `default` in a new database.
  // Versions that were added but never went live (hearthd died in the middle of a deploy) are gone.
  explicit Registry(const std::string& database_path);
  ~Registry();
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  const Tenant* tenant(std::string_view name) const;
  std::vector<Tenant> tenants() const;          // by name
  bool create_tenant(const Tenant& tenant);     // false: exists
  bool delete_tenant(const std::string& name);  // false: has functions or does not exist

  // The live version, or nullptr. Stable until the function changes; calls hold the shared pointer.
  VersionPtr find(std::string_view tenant, std::string_view function) const;
  // All live versions, of one tenant if given, by tenant and name.
  std::vector<VersionPtr> live(std::string_view tenant = {}) const;
  std::vector<VersionPtr> versions(const std::string& tenant,
                                   const std::string& function) const;  // by number

  // Adds a version that is not live. When the live one has the same hash and manifest it is
  // returned instead: deploying twice is no change. The tenant exists.
  VersionPtr add(const std::string& tenant, const std::string& hash, uint64_t bytes,
                 const Manifest& manifest);
  void go_live(const VersionPtr& version);
  // Forgets a version whose code did not load. One that is or was live stays.
  void discard(const VersionPtr& version);
  // Makes version `number` live again, by default the one that was live before this one. The
  // version that is live now; nullptr: there is no such version, or it never was live.
  VersionPtr rollback(const std::string& tenant, const std::string& function,
                      std::optional<uint32_t> number);
  bool remove(const std::string& tenant, const std::string& function);  // false: does not exist
  bool hash_in_use(const std::string& hash) const;  // may the folder be deleted?
  bool image_in_use(const std::string& image) const;

  // Removes what stands in `bundles_dir` and belongs to no version: the rest of a deploy or a
  // delete that hearthd did not live to finish. Returns the names. At start, before any deploy.
  std::vector<std::string> collect_garbage(const std::string& bundles_dir) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Removes everything in `dir`, not `dir` itself: STATE/uploads at start. Throws sys::Error.
void empty_folder(const std::string& dir);

}  // namespace hearth::registry
