// SPDX-License-Identifier: Apache-2.0
#include "daemon/sqlite/database.h"

#include <fmt/format.h>
#include <sqlite3.h>

namespace hearth::sqlite {
namespace {

int errno_of(sqlite3* db, int result) {
  switch (result & 0xff) {
    case SQLITE_FULL:
      return ENOSPC;
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
      return EUCLEAN;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return EBUSY;
    case SQLITE_READONLY:
      return EROFS;
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return EACCES;
    case SQLITE_NOMEM:
      return ENOMEM;
    default:
      break;
  }
  int system = db ? sqlite3_system_errno(db) : 0;
  return system ? system : EIO;
}

const char* hint_of(int result) {
  switch (result & 0xff) {
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
      return " (the file is damaged: stop hearthd, move it away with its -wal and -shm, restore a "
             "copy)";
    case SQLITE_FULL:
      return " (the disk is full)";
    case SQLITE_READONLY:
      return " (is the state folder writable for hearthd's user?)";
    default:
      return "";
  }
}

std::string text_of(sqlite3* db, int result) {
  // The connection's own text says more ("UNIQUE constraint failed: …"), but only while it is about
  // this result.
  if (db && (sqlite3_errcode(db) & 0xff) == (result & 0xff)) return sqlite3_errmsg(db);
  return sqlite3_errstr(result);
}

}  // namespace

Error::Error(std::string_view call, std::string_view object, sqlite3* db, int result)
    : sys::Error(call, object, errno_of(db, result)),
      text_(fmt::format("{} '{}': {}{}", call, object, text_of(db, result), hint_of(result))),
      result_(result) {}

bool Error::damaged() const {
  return (result_ & 0xff) == SQLITE_NOTADB || (result_ & 0xff) == SQLITE_CORRUPT;
}

void Database::Close::operator()(sqlite3* db) const {
  sqlite3_close_v2(db);
}

Database::Database(const std::string& path, const Options& options) : path_(path) {
  int flags = options.read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  sqlite3* db = nullptr;
  int result = sqlite3_open_v2(path.c_str(), &db, flags | SQLITE_OPEN_NOMUTEX, nullptr);
  db_.reset(db);
  check(result, "open database", path);
  sqlite3_extended_result_codes(db, 1);
  sqlite3_busy_timeout(db, static_cast<int>(options.busy_timeout_ms));
  // A row of a damaged or hostile file must not run what its schema says.
  sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  exec("PRAGMA foreign_keys=ON");
  if (options.read_only) return;
  exec("PRAGMA journal_mode=WAL");
  exec(options.sync == Sync::kFull ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL");
}

void Database::check(int result, std::string_view call, std::string_view object) {
  if (result != SQLITE_OK) throw Error(call, object, db_.get(), result);
}

void Database::exec(const char* sql) {
  check(sqlite3_exec(db_.get(), sql, nullptr, nullptr, nullptr), sql, path_);
}

Statement Database::prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  check(sqlite3_prepare_v3(db_.get(), sql.data(), static_cast<int>(sql.size()),
                           SQLITE_PREPARE_PERSISTENT, &statement, nullptr),
        sql, path_);
  return Statement(this, statement);
}

int64_t Database::last_insert_id() const {
  return sqlite3_last_insert_rowid(db_.get());
}
int64_t Database::changes() const {
  return sqlite3_changes64(db_.get());
}

int64_t Database::number(std::string_view sql) {
  Statement statement = prepare(sql);
  return statement.step() ? statement.integer(0) : 0;
}

Error Database::damaged(std::string_view call) const {
  return Error(call, path_, nullptr, SQLITE_CORRUPT);
}

void Database::check_integrity() {
  Statement statement = prepare("PRAGMA quick_check(1)");
  if (statement.step() && statement.text(0) == "ok") return;
  throw damaged("check");
}

void Database::migrate(std::span<const char* const> steps) {
  auto version = static_cast<size_t>(number("PRAGMA user_version"));
  if (version > steps.size())
    throw Error("open (made by a newer Hearth)", path_, nullptr, SQLITE_SCHEMA);
  for (; version < steps.size(); ++version) {
    Transaction transaction(*this);
    exec(steps[version]);
    exec(fmt::format("PRAGMA user_version={}", version + 1).c_str());
    transaction.commit();
  }
}

void Statement::Finalize::operator()(sqlite3_stmt* statement) const {
  sqlite3_finalize(statement);
}

Statement::Statement(Database* database, sqlite3_stmt* statement)
    : database_(database), statement_(statement) {}

void Statement::check(int result, std::string_view call) {
  if (result != SQLITE_OK) throw Error(call, database_->path_, database_->db_.get(), result);
}

bool Statement::step() {
  int result = sqlite3_step(statement_.get());
  if (result == SQLITE_ROW) return true;
  if (result == SQLITE_DONE) return false;
  Error error(sqlite3_sql(statement_.get()), database_->path_, database_->db_.get(), result);
  reset();
  throw error;
}

// The result of sqlite3_reset repeats the failure that step() has already thrown.
void Statement::reset() {
  (void)sqlite3_reset(statement_.get());
}

void Statement::bind(int index, int64_t value) {
  check(sqlite3_bind_int64(statement_.get(), index, value), "bind");
}

namespace {

// A null pointer would bind NULL; an empty view may hold one.
const char* never_null(std::string_view text) {
  return text.data() ? text.data() : "";
}

}  // namespace

void Statement::bind(int index, std::string_view text) {
  check(sqlite3_bind_text64(statement_.get(), index, never_null(text), text.size(),
                            SQLITE_TRANSIENT, SQLITE_UTF8),
        "bind");
}

void Statement::borrow(int index, std::string_view text) {
  check(sqlite3_bind_text64(statement_.get(), index, never_null(text), text.size(), SQLITE_STATIC,
                            SQLITE_UTF8),
        "bind");
}

void Statement::bind(int index, std::span<const std::byte> blob) {
  const void* data = blob.data() ? static_cast<const void*>(blob.data()) : "";
  check(sqlite3_bind_blob64(statement_.get(), index, data, blob.size(), SQLITE_TRANSIENT), "bind");
}

void Statement::bind_null(int index) {
  check(sqlite3_bind_null(statement_.get(), index), "bind");
}

int64_t Statement::integer(int column) const {
  return sqlite3_column_int64(statement_.get(), column);
}

std::string Statement::text(int column) const {
  auto* data = static_cast<const char*>(sqlite3_column_blob(statement_.get(), column));
  auto size = static_cast<size_t>(sqlite3_column_bytes(statement_.get(), column));
  return data ? std::string(data, size) : std::string();
}

bool Statement::is_null(int column) const {
  return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL;
}

Transaction::Transaction(Database& database) : database_(database) {
  database_.exec("BEGIN IMMEDIATE");
}

Transaction::~Transaction() {
  if (!open_) return;
  try {
    database_.exec("ROLLBACK");
  } catch (const Error&) {
    // SQLite has rolled back by itself (disk full, I/O error).
  }
}

void Transaction::commit() {
  database_.exec("COMMIT");  // on failure open_ stays set: the destructor rolls back
  open_ = false;
}

}  // namespace hearth::sqlite
