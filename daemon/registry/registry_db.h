// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "daemon/registry/registry.h"
#include "daemon/sqlite/database.h"

// The registry's tables: rows to structs and back. Knows no rules but those that the schema states.
namespace hearth::registry {

struct FunctionRow {
  std::string tenant, name;
  uint32_t live_id = 0, previous_id = 0;  // 0: none
};

struct VersionRow {
  std::shared_ptr<Version> version;
  bool was_live = false;
};

class RegistryDb {
 public:
  explicit RegistryDb(const std::string& path);

  std::vector<Tenant> load_tenants();
  std::vector<FunctionRow> load_functions();
  std::vector<VersionRow> load_versions();

  sqlite::Transaction transaction() { return sqlite::Transaction(db_); }
  void insert_tenant(const Tenant& tenant);
  void delete_tenant(const std::string& name);
  // Gives `version` its id and number. The function's row is made when it is the first.
  void insert_version(Version& version);
  void delete_version(uint32_t id);
  void delete_versions_never_live();
  void set_live(const FunctionRow& function);
  void delete_function(const std::string& tenant, const std::string& name);  // its versions too

 private:
  void load_env(const std::vector<VersionRow>& versions);

  sqlite::Database db_;
};

}  // namespace hearth::registry
