// SPDX-License-Identifier: Apache-2.0
#include "daemon/registry/registry_db.h"

#include <algorithm>
#include <cerrno>
#include <unordered_map>

#include "sandbox/sys/error.h"

namespace hearth::registry {
namespace {

// A step is never changed once it is released; a change of the schema is a further step.
const char* const kSchema[] = {R"sql(
CREATE TABLE tenants (
  name TEXT PRIMARY KEY,
  concurrency_max INTEGER NOT NULL,
  created_at_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO tenants
  VALUES ('default', 64, CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) * 1000);

-- Survives its function: numbers are never given twice.
CREATE TABLE numbers (
  tenant TEXT NOT NULL,
  function TEXT NOT NULL,
  last INTEGER NOT NULL,
  PRIMARY KEY (tenant, function)
) STRICT, WITHOUT ROWID;

CREATE TABLE functions (
  tenant TEXT NOT NULL REFERENCES tenants (name),
  name TEXT NOT NULL,
  live_id INTEGER REFERENCES versions (id) DEFERRABLE INITIALLY DEFERRED,
  previous_id INTEGER REFERENCES versions (id) DEFERRABLE INITIALLY DEFERRED,
  PRIMARY KEY (tenant, name)
) STRICT, WITHOUT ROWID;

-- AUTOINCREMENT: an id is never given twice.
CREATE TABLE versions (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  tenant TEXT NOT NULL,
  function TEXT NOT NULL,
  number INTEGER NOT NULL,
  hash TEXT NOT NULL,
  bytes INTEGER NOT NULL,
  created_at_us INTEGER NOT NULL,
  was_live INTEGER NOT NULL DEFAULT 0,
  runtime TEXT NOT NULL,
  handler TEXT NOT NULL,
  image TEXT NOT NULL,
  memory_mb INTEGER NOT NULL,
  timeout_ms INTEGER NOT NULL,
  cpu_ms INTEGER NOT NULL,
  cpu_percent INTEGER NOT NULL,
  processes_max INTEGER NOT NULL,
  tmp_mb INTEGER NOT NULL,
  output_kb INTEGER NOT NULL,
  log_kb INTEGER NOT NULL,
  reuse TEXT NOT NULL,
  concurrency_max INTEGER NOT NULL,
  warm_min INTEGER NOT NULL,
  exec_http_env INTEGER NOT NULL,
  http_public INTEGER,         -- NULL: no HTTP trigger
  http_methods TEXT NOT NULL,  -- "GET POST"; empty: any
  UNIQUE (tenant, function, number),
  FOREIGN KEY (tenant, function) REFERENCES functions (tenant, name) DEFERRABLE INITIALLY DEFERRED
) STRICT;

CREATE TABLE version_env (
  version_id INTEGER NOT NULL REFERENCES versions (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (version_id, name)
) STRICT, WITHOUT ROWID;
)sql",
                               R"sql(
ALTER TABLE versions ADD COLUMN io_mb_per_s INTEGER NOT NULL DEFAULT 0;
ALTER TABLE versions ADD COLUMN io_reads_per_s INTEGER NOT NULL DEFAULT 0;
)sql"};

constexpr const char* kColumns =
    "tenant, function, number, hash, bytes, created_at_us, runtime, handler, image, memory_mb, "
    "timeout_ms, cpu_ms, "
    "cpu_percent, processes_max, tmp_mb, output_kb, log_kb, reuse, concurrency_max, warm_min, "
    "exec_http_env, "
    "http_public, http_methods, io_mb_per_s, io_reads_per_s";

template <typename Enum>
Enum enum_of(const std::string& text, std::initializer_list<Enum> all) {
  for (Enum value : all) {
    if (text == name_of(value)) return value;
  }
  throw sys::Error("read from the registry the unknown word", text, EUCLEAN);
}

std::string join(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> words;
  for (size_t start = 0; start < text.size();) {
    size_t end = std::min(text.find(' ', start), text.size());
    words.push_back(text.substr(start, end - start));
    start = end + 1;
  }
  return words;
}

sqlite::Database open(const std::string& path) {
  // The loop thread waits here: not long for whoever else has the file open.
  sqlite::Database db(path, {.sync = sqlite::Sync::kFull, .busy_timeout_ms = 250});
  db.check_integrity();
  db.migrate(kSchema);
  return db;
}

// Reads columns one after the other.
class Row {
 public:
  explicit Row(const sqlite::Statement& statement) : statement_(statement) {}
  std::string text() { return statement_.text(column_++); }
  uint64_t number() { return static_cast<uint64_t>(statement_.integer(column_++)); }
  uint32_t small() { return static_cast<uint32_t>(statement_.integer(column_++)); }
  bool null() const { return statement_.is_null(column_); }

 private:
  const sqlite::Statement& statement_;
  int column_ = 0;
};

Manifest read_manifest(Row& row, std::string name) {
  Manifest m;
  m.name = std::move(name);
  m.runtime =
      enum_of(row.text(), {Runtime::kPython3, Runtime::kNodejs, Runtime::kExec, Runtime::kNative});
  m.handler = row.text();
  m.image = row.text();
  m.memory_mb = row.small();
  m.timeout_ms = row.small();
  m.cpu_ms = row.small();
  m.cpu_percent = row.small();
  m.processes_max = row.small();
  m.tmp_mb = row.small();
  m.output_kb = row.small();
  m.log_kb = row.small();
  m.reuse = enum_of(row.text(), {Reuse::kNever, Reuse::kSandbox, Reuse::kProcess});
  m.concurrency_max = row.small();
  m.warm_min = row.small();
  m.exec_http_env = row.small() != 0;
  bool has_http = !row.null();
  bool is_public = row.small() != 0;
  std::string methods = row.text();
  if (has_http) m.http = HttpTrigger{is_public, split(methods)};
  m.io_mb_per_s = row.small();
  m.io_reads_per_s = row.small();
  return m;
}

}  // namespace

RegistryDb::RegistryDb(const std::string& path) : db_(open(path)) {}

std::vector<Tenant> RegistryDb::load_tenants() {
  std::vector<Tenant> out;
  auto rows = db_.prepare("SELECT name, concurrency_max, created_at_us FROM tenants");
  while (rows.step()) {
    Row row(rows);
    Tenant& tenant = out.emplace_back();
    tenant.name = row.text();
    tenant.concurrency_max = row.small();
    tenant.created_at_us = row.number();
  }
  return out;
}

std::vector<FunctionRow> RegistryDb::load_functions() {
  std::vector<FunctionRow> out;
  auto rows = db_.prepare("SELECT tenant, name, live_id, previous_id FROM functions");
  while (rows.step()) {
    Row row(rows);
    FunctionRow& function = out.emplace_back();
    function.tenant = row.text();
    function.name = row.text();
    function.live_id = row.small();  // NULL reads as 0
    function.previous_id = row.small();
  }
  return out;
}

std::vector<VersionRow> RegistryDb::load_versions() {
  std::vector<VersionRow> out;
  auto rows = db_.prepare(std::string("SELECT id, was_live, ") + kColumns +
                          " FROM versions ORDER BY number");
  while (rows.step()) {
    Row row(rows);
    auto version = std::make_shared<Version>();
    version->id = row.small();
    bool was_live = row.small() != 0;
    version->tenant = row.text();
    std::string function = row.text();
    version->number = row.small();
    version->hash = row.text();
    version->bytes = row.number();
    version->created_at_us = row.number();
    version->manifest = read_manifest(row, std::move(function));
    out.push_back({std::move(version), was_live});
  }
  load_env(out);
  return out;
}

void RegistryDb::load_env(const std::vector<VersionRow>& versions) {
  std::unordered_map<uint32_t, Version*> by_id;
  for (const VersionRow& row : versions) by_id[row.version->id] = row.version.get();
  auto rows = db_.prepare("SELECT version_id, name, value FROM version_env");
  while (rows.step()) {
    // The schema's foreign key holds: there is a version for each.
    Version* version = by_id.at(static_cast<uint32_t>(rows.integer(0)));
    version->manifest.env[rows.text(1)] = rows.text(2);
  }
}

void RegistryDb::insert_tenant(const Tenant& tenant) {
  db_.prepare("INSERT INTO tenants VALUES (?, ?, ?)")
      .run(tenant.name, tenant.concurrency_max, tenant.created_at_us);
}

void RegistryDb::delete_tenant(const std::string& name) {
  db_.prepare("DELETE FROM tenants WHERE name = ?").run(name);
}

void RegistryDb::insert_version(Version& version) {
  const Manifest& m = version.manifest;
  db_.prepare("INSERT INTO functions (tenant, name) VALUES (?, ?) ON CONFLICT DO NOTHING")
      .run(version.tenant, m.name);
  auto number = db_.prepare(
      "INSERT INTO numbers VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET last = last + 1 "
      "RETURNING last");
  number.query(version.tenant, m.name);
  HEARTH_CHECK(number.step());
  version.number = static_cast<uint32_t>(number.integer(0));
  number.reset();
  auto insert = db_.prepare(std::string("INSERT INTO versions (") + kColumns +
                            ") VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)");
  constexpr int kHttpPublic = 22;
  insert.query(version.tenant, m.name, version.number, version.hash, version.bytes,
               version.created_at_us, name_of(m.runtime), m.handler, m.image, m.memory_mb,
               m.timeout_ms, m.cpu_ms, m.cpu_percent, m.processes_max, m.tmp_mb, m.output_kb,
               m.log_kb, name_of(m.reuse), m.concurrency_max, m.warm_min, m.exec_http_env,
               m.http && m.http->is_public, m.http ? join(m.http->methods) : std::string(),
               m.io_mb_per_s, m.io_reads_per_s);
  if (!m.http) insert.bind_null(kHttpPublic);
  while (insert.step()) {
  }
  version.id = static_cast<uint32_t>(db_.last_insert_id());
  auto env = db_.prepare("INSERT INTO version_env VALUES (?, ?, ?)");
  for (const auto& [name, value] : m.env) env.run(version.id, name, value);
}

void RegistryDb::delete_version(uint32_t id) {
  db_.prepare("DELETE FROM versions WHERE id = ?").run(id);
  db_.exec(
      "DELETE FROM functions WHERE NOT EXISTS "
      "(SELECT 1 FROM versions v WHERE v.tenant = functions.tenant AND v.function = "
      "functions.name)");
}

void RegistryDb::delete_versions_never_live() {
  db_.exec("DELETE FROM versions WHERE NOT was_live");
  db_.exec("DELETE FROM functions WHERE live_id IS NULL");
}

void RegistryDb::set_live(const FunctionRow& function) {
  db_.prepare("UPDATE versions SET was_live = 1 WHERE id = ?").run(function.live_id);
  db_.prepare(
         "UPDATE functions SET live_id = ?, previous_id = NULLIF(?, 0) WHERE tenant = ? AND name = "
         "?")
      .run(function.live_id, function.previous_id, function.tenant, function.name);
}

void RegistryDb::delete_function(const std::string& tenant, const std::string& name) {
  db_.prepare("DELETE FROM functions WHERE tenant = ? AND name = ?").run(tenant, name);
  db_.prepare("DELETE FROM versions WHERE tenant = ? AND function = ?").run(tenant, name);
}

}  // namespace hearth::registry
