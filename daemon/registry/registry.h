// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/registry/manifest.h"

// What exists: tenants, functions, versions. SQLite is the truth; everything is also in memory, so that a call's look-up is a hash
// look-up that makes no system call.
namespace hearth::registry {

struct Tenant { std::string name; uint32_t concurrency_max = 64; uint64_t created_at_us = 0; };

struct Version {
  uint32_t id = 0;          // unique over all functions, never used again: the pool's FunctionId
  uint32_t number = 0;      // 1, 2, … within the function
  std::string tenant, hash; // hash: the folder in STATE/bundles
  Manifest manifest;
  uint64_t created_at_us = 0, bytes = 0;
};

class Registry {
 public:
  explicit Registry(const std::string& database_path);  // throws sys::Error; makes the tenant `default` in a new database
  ~Registry();

  const Tenant* tenant(std::string_view name) const;
  std::vector<Tenant> tenants() const;
  bool create_tenant(const Tenant& tenant);             // false: exists
  bool delete_tenant(const std::string& name);          // false: has functions or does not exist

  // The live version, or nullptr. Stable until the function changes; calls hold the shared pointer.
  std::shared_ptr<const Version> find(std::string_view tenant, std::string_view function) const;
  std::vector<std::shared_ptr<const Version>> live(std::string_view tenant = {}) const;  // all live versions
  std::vector<std::shared_ptr<const Version>> versions(const std::string& tenant, const std::string& function) const;

  // Adds a version that is not live. Same hash as the live one: returns that one (deploying twice is no change).
  std::shared_ptr<const Version> add(const std::string& tenant, const std::string& hash, uint64_t bytes, const Manifest& manifest);
  void go_live(const std::shared_ptr<const Version>& version);   // one transaction
  void discard(const std::shared_ptr<const Version>& version);   // a version whose code did not load
  std::shared_ptr<const Version> rollback(const std::string& tenant, const std::string& function, std::optional<uint32_t> number);  // nullptr: no such version
  bool remove(const std::string& tenant, const std::string& function);
  bool hash_in_use(const std::string& hash) const;       // may the folder be deleted?
  bool image_in_use(const std::string& image) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace hearth::registry
