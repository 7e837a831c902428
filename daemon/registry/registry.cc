// SPDX-License-Identifier: Apache-2.0
#include "daemon/registry/registry.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <map>
#include <set>
#include <unordered_map>

#include "daemon/registry/registry_db.h"
#include "sandbox/sys/error.h"
#include "sandbox/sys/fail_point.h"

namespace hearth::registry {
namespace {

namespace fs = std::filesystem;

uint64_t now_us() {
  auto since = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(since).count());
}

// Tenant and function, owned or borrowed: a look-up copies neither.
struct NameView {
  std::string_view tenant, function;
  bool operator==(const NameView&) const = default;
};
struct Name {
  std::string tenant, function;
  operator NameView() const {
    return {tenant, function};
  }  // NOLINT(google-explicit-constructor): a key is its view
};
struct NameHash {
  using is_transparent = void;
  size_t operator()(const NameView& name) const {
    std::hash<std::string_view> hash;
    return hash(name.tenant) * 31 + hash(name.function);
  }
};
struct NameEqual {
  using is_transparent = void;
  bool operator()(const NameView& a, const NameView& b) const { return a == b; }
};

struct Function {
  VersionPtr live;
  uint32_t previous_id = 0;
  struct Entry {
    VersionPtr version;
    bool was_live = false;
  };
  std::map<uint32_t, Entry> versions;  // by number
};

bool by_name(const VersionPtr& a, const VersionPtr& b) {
  return std::tie(a->tenant, a->manifest.name) < std::tie(b->tenant, b->manifest.name);
}

void remove_tree(const fs::path& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) throw sys::Error("remove", path.native(), error.value());
}

std::vector<fs::path> entries_of(const std::string& dir) {
  std::vector<fs::path> out;
  std::error_code error;
  fs::directory_iterator at(dir, error);
  for (; !error && at != fs::directory_iterator(); at.increment(error)) out.push_back(at->path());
  if (error) throw sys::Error("list", dir, error.value());
  return out;
}

}  // namespace

struct Registry::State {
  explicit State(const std::string& path) : db(path) {}

  void load();
  Function* function(std::string_view tenant, std::string_view name);
  Function::Entry* entry(const VersionPtr& version);
  void make_live(Function& function, Function::Entry& entry);

  RegistryDb db;
  std::map<std::string, Tenant, std::less<>> tenants;
  std::unordered_map<Name, Function, NameHash, NameEqual> functions;
};

void Registry::State::load() {
  {
    sqlite::Transaction transaction = db.transaction();
    db.delete_versions_never_live();
    transaction.commit();
  }
  for (Tenant& tenant : db.load_tenants()) tenants.emplace(tenant.name, tenant);
  std::unordered_map<uint32_t, VersionPtr> by_id;
  for (VersionRow& row : db.load_versions()) {
    by_id[row.version->id] = row.version;
    Function& function = functions[Name{row.version->tenant, row.version->manifest.name}];
    function.versions[row.version->number] = {row.version, row.was_live};
  }
  for (const FunctionRow& row : db.load_functions()) {
    Function& function = functions[Name{row.tenant, row.name}];
    function.live = by_id[row.live_id];
    function.previous_id = row.previous_id;
  }
}

Function* Registry::State::function(std::string_view tenant, std::string_view name) {
  auto found = functions.find(NameView{tenant, name});
  return found == functions.end() ? nullptr : &found->second;
}

// nullptr: removed meanwhile.
Function::Entry* Registry::State::entry(const VersionPtr& version) {
  Function* of = function(version->tenant, version->manifest.name);
  if (!of) return nullptr;
  auto found = of->versions.find(version->number);
  return found == of->versions.end() ? nullptr : &found->second;
}

void Registry::State::make_live(Function& function, Function::Entry& entry) {
  if (function.live == entry.version) return;
  const Version& version = *entry.version;
  FunctionRow row{version.tenant, version.manifest.name, version.id,
                  function.live ? function.live->id : 0};
  sqlite::Transaction transaction = db.transaction();
  db.set_live(row);
  sys::fail_point("registry.going_live");
  transaction.commit();
  function.live = entry.version;
  function.previous_id = row.previous_id;
  entry.was_live = true;
}

Registry::Registry(const std::string& database_path)
    : state_(std::make_unique<State>(database_path)) {
  state_->load();
}

Registry::~Registry() = default;

const Tenant* Registry::tenant(std::string_view name) const {
  auto found = state_->tenants.find(name);
  return found == state_->tenants.end() ? nullptr : &found->second;
}

std::vector<Tenant> Registry::tenants() const {
  std::vector<Tenant> out;
  for (const auto& [name, tenant] : state_->tenants) out.push_back(tenant);
  return out;
}

bool Registry::create_tenant(const Tenant& tenant) {
  HEARTH_CHECK(valid_name(tenant.name));
  if (state_->tenants.contains(tenant.name)) return false;
  Tenant made = tenant;
  if (made.created_at_us == 0) made.created_at_us = now_us();
  sqlite::Transaction transaction = state_->db.transaction();
  state_->db.insert_tenant(made);
  transaction.commit();
  state_->tenants.emplace(made.name, made);
  return true;
}

bool Registry::delete_tenant(const std::string& name) {
  if (!state_->tenants.contains(name)) return false;
  for (const auto& [key, function] : state_->functions) {
    if (key.tenant == name) return false;
  }
  sqlite::Transaction transaction = state_->db.transaction();
  state_->db.delete_tenant(name);
  transaction.commit();
  state_->tenants.erase(name);
  return true;
}

VersionPtr Registry::find(std::string_view tenant, std::string_view function) const {
  const Function* found = state_->function(tenant, function);
  return found ? found->live : nullptr;
}

std::vector<VersionPtr> Registry::live(std::string_view tenant) const {
  std::vector<VersionPtr> out;
  for (const auto& [name, function] : state_->functions) {
    if (function.live && (tenant.empty() || name.tenant == tenant)) out.push_back(function.live);
  }
  std::sort(out.begin(), out.end(), by_name);
  return out;
}

std::vector<VersionPtr> Registry::versions(const std::string& tenant,
                                           const std::string& function) const {
  std::vector<VersionPtr> out;
  const Function* found = state_->function(tenant, function);
  if (!found) return out;
  for (const auto& [number, entry] : found->versions) out.push_back(entry.version);
  return out;
}

VersionPtr Registry::add(const std::string& tenant, const std::string& hash, uint64_t bytes,
                         const Manifest& manifest) {
  HEARTH_CHECK(state_->tenants.contains(tenant) && valid_name(manifest.name));
  VersionPtr live = find(tenant, manifest.name);
  if (live && live->hash == hash && live->manifest == manifest) return live;
  auto version = std::make_shared<Version>();
  version->tenant = tenant;
  version->hash = hash;
  version->manifest = manifest;
  version->bytes = bytes;
  version->created_at_us = now_us();
  sqlite::Transaction transaction = state_->db.transaction();
  state_->db.insert_version(*version);
  sys::fail_point("registry.adding");
  transaction.commit();
  state_->functions[Name{tenant, manifest.name}].versions[version->number] = {version, false};
  return version;
}

void Registry::go_live(const VersionPtr& version) {
  Function* function = state_->function(version->tenant, version->manifest.name);
  Function::Entry* entry = state_->entry(version);
  HEARTH_CHECK(function && entry);
  state_->make_live(*function, *entry);
}

void Registry::discard(const VersionPtr& version) {
  Function::Entry* entry = state_->entry(version);
  if (!entry || entry->was_live) return;
  sqlite::Transaction transaction = state_->db.transaction();
  state_->db.delete_version(version->id);
  transaction.commit();
  auto function = state_->functions.find(NameView{version->tenant, version->manifest.name});
  function->second.versions.erase(version->number);
  if (function->second.versions.empty()) state_->functions.erase(function);
}

VersionPtr Registry::rollback(const std::string& tenant, const std::string& function,
                              std::optional<uint32_t> number) {
  Function* found = state_->function(tenant, function);
  if (!found) return nullptr;
  for (auto& [each, entry] : found->versions) {
    bool wanted = number ? each == *number : entry.version->id == found->previous_id;
    if (!wanted || !entry.was_live) continue;
    state_->make_live(*found, entry);
    return entry.version;
  }
  return nullptr;
}

bool Registry::remove(const std::string& tenant, const std::string& function) {
  auto found = state_->functions.find(NameView{tenant, function});
  if (found == state_->functions.end()) return false;
  sqlite::Transaction transaction = state_->db.transaction();
  state_->db.delete_function(tenant, function);
  sys::fail_point("registry.removing");
  transaction.commit();
  state_->functions.erase(found);
  return true;
}

bool Registry::hash_in_use(const std::string& hash) const {
  for (const auto& [name, function] : state_->functions) {
    for (const auto& [number, entry] : function.versions) {
      if (entry.version->hash == hash) return true;
    }
  }
  return false;
}

bool Registry::image_in_use(const std::string& image) const {
  for (const auto& [name, function] : state_->functions) {
    for (const auto& [number, entry] : function.versions) {
      if (entry.version->manifest.image == image) return true;
    }
  }
  return false;
}

std::vector<std::string> Registry::collect_garbage(const std::string& bundles_dir) const {
  std::set<std::string> in_use;
  for (const auto& [name, function] : state_->functions) {
    for (const auto& [number, entry] : function.versions) in_use.insert(entry.version->hash);
  }
  std::vector<std::string> removed;
  for (const fs::path& path : entries_of(bundles_dir)) {
    std::string name = path.filename();
    if (in_use.contains(name)) continue;
    remove_tree(path);
    removed.push_back(std::move(name));
  }
  return removed;
}

void empty_folder(const std::string& dir) {
  for (const fs::path& path : entries_of(dir)) remove_tree(path);
}

}  // namespace hearth::registry
