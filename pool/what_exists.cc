// SPDX-License-Identifier: Apache-2.0
#include "pool/state.h"

// Functions come and go; tenants, families and generics live as long as a function needs them.
namespace hearth::pool {

namespace {

std::string family_key(const Function& function) {
  return function.tenant + '\0' + function.name;
}

}  // namespace

Version* Pool::State::find(FunctionId id) {
  const auto it = versions.find(id);
  return it == versions.end() ? nullptr : &it->second;
}

Tenant& Pool::State::tenant_named(const std::string& name) {
  Tenant& tenant = tenants[name];
  if (tenant.number == 0) {
    tenant.name = name;
    tenant.number = ++last_tenant;
  }
  return tenant;
}

void Pool::State::add(FunctionId id, Function function) {
  Version& version = versions[id];
  version.id = id;
  version.spec = std::move(function);
  version.spec.concurrency_max = std::max(version.spec.concurrency_max, 1u);
  version.spec.warm_min = std::min(version.spec.warm_min, version.spec.concurrency_max);
  version.tenant = &tenant_named(version.spec.tenant);
  ++version.tenant->versions;
  const std::string key = family_key(version.spec);
  version.family = &families[key];
  version.family->key = key;
  ++version.family->versions;
  version.shelf.id = ++last_shelf;
  version.shelf.version = &version;
  version.shelf.kept = version.spec.warm_min;
  shelves.emplace(version.shelf.id, &version.shelf);
  if (!version.spec.generic_key.empty()) {
    Generics& base = generics[version.spec.generic_key];
    if (base.shelf.id == 0) {
      base.key = version.spec.generic_key;
      base.shelf.id = ++last_shelf;
      base.shelf.generics = &base;
      shelves.emplace(base.shelf.id, &base.shelf);
    }
    ++base.versions;
    base.last_active = now;
    version.generics = &base;
  }
  need_upkeep(version.shelf);
  if (version.generics) need_upkeep(version.generics->shelf);
  upkeep();
}

void Pool::State::retire(Version& version) {
  version.retired = true;
  refuse_all_waiting(version, Refusal::kFunctionGone, {});
  for (Sandbox* each = version.members.front(); each; each = version.members.after(*each)) {
    if (each->phase != Phase::kRunning) destroy(*each);  // a running one goes when its call ends
  }
  if (version.generics && --version.generics->versions == 0) {
    while (!version.generics->shelf.idle.empty()) destroy_idle(version.generics->shelf);
    forget_if_done(*version.generics);
  }
  version.generics = nullptr;
  start_for_calls();
  upkeep();
  forget_if_done(version);
}

void Pool::State::forget_if_done(Version& version) {
  if (!version.retired || version.calls > 0 || version.sandboxes.all() > 0) return;
  Family& family = *version.family;
  if (--family.versions == 0) families.erase(std::string(family.key));
  Tenant& tenant = *version.tenant;
  --tenant.versions;
  shelves.erase(version.shelf.id);
  versions.erase(FunctionId(version.id));
  forget_if_done(tenant);
}

void Pool::State::forget_if_done(Generics& base) {
  if (base.versions > 0 || base.sandboxes > 0) return;
  shelves.erase(base.shelf.id);
  generics.erase(std::string(base.key));
}

void Pool::State::forget_if_done(Tenant& tenant) {
  if (!tenant.removed || tenant.versions > 0) return;
  order.remove(tenant);
  tenants.erase(std::string(tenant.name));
}

}  // namespace hearth::pool
