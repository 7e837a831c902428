// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "sandbox/sys/error.h"

struct sqlite3;
struct sqlite3_stmt;

// The little of SQLite that Hearth needs, owned by objects. A Database and its Statements belong to
// one thread at a time.
namespace hearth::sqlite {

// SQLite refused: what() is `call 'object': SQLite's own text (hint)`, code() the nearest errno
// (full: ENOSPC, damaged: EUCLEAN, busy: EBUSY, I/O: what the system said), result() SQLite's
// extended result code.
class Error : public sys::Error {
 public:
  Error(std::string_view call, std::string_view object, sqlite3* db, int result);
  const char* what() const noexcept override { return text_.c_str(); }
  int result() const { return result_; }
  bool damaged() const;  // the file is no database, or a damaged one

 private:
  std::string text_;
  int result_;
};

enum class Sync {
  kNormal,  // a commit survives the process, the last ones may be lost with the host
  kFull,    // a commit survives the host
};

struct Options {
  Sync sync = Sync::kFull;
  bool read_only = false;  // the file must exist
  uint32_t busy_timeout_ms = 5000;
};

class Statement;

// One connection, WAL mode, foreign keys enforced. Destruction closes it; its Statements must be
// gone by then.
class Database {
 public:
  Database(const std::string& path, const Options& options);

  void exec(const char* sql);  // one or more statements without parameters
  Statement prepare(std::string_view sql);
  int64_t last_insert_id() const;
  int64_t changes() const;               // rows changed by the last statement
  int64_t number(std::string_view sql);  // first column of the first row; 0 without a row
  const std::string& path() const { return path_; }

  // To be thrown for content that SQLite stores well and that makes no sense.
  Error damaged(std::string_view call) const;

  // Reads every page; throws Error (damaged) with the first finding.
  void check_integrity();

  // Brings the schema up to date: steps[i] leads from user_version i to i + 1, each in one
  // transaction. Throws for a database that a newer Hearth wrote.
  void migrate(std::span<const char* const> steps);

 private:
  friend class Statement;
  struct Close {
    void operator()(sqlite3* db) const;
  };
  void check(int result, std::string_view call, std::string_view object);

  std::string path_;
  std::unique_ptr<sqlite3, Close> db_;
};

// A prepared statement. `run` and `query` start it afresh; parameters count from 1, columns from 0.
class Statement {
 public:
  // Binds, executes to the end; for statements whose rows nobody wants.
  template <typename... Values>
  void run(const Values&... values) {
    reset();
    [[maybe_unused]] int index = 0;
    (bind_borrowed(++index, values), ...);
    while (step()) {
    }
    reset();
  }

  // Binds; call step() for each row.
  template <typename... Values>
  void query(const Values&... values) {
    reset();
    [[maybe_unused]] int index = 0;
    (bind(++index, values), ...);
  }

  bool step();   // true: there is a row. Throws Error.
  void reset();  // ends the read that an unfinished query keeps open; unbinds nothing

  void bind(int index, int64_t value);
  void bind(int index, uint64_t value) { bind(index, static_cast<int64_t>(value)); }
  void bind(int index, uint32_t value) { bind(index, static_cast<int64_t>(value)); }
  void bind(int index, int value) { bind(index, static_cast<int64_t>(value)); }
  void bind(int index, bool value) { bind(index, static_cast<int64_t>(value)); }
  void bind(int index, std::string_view text);  // copied
  void bind(int index, const std::string& text) { bind(index, std::string_view(text)); }
  void bind(int index, const char* text) { bind(index, std::string_view(text)); }
  void bind(int index, std::span<const std::byte> blob);  // copied
  void bind_null(int index);

  int64_t integer(int column) const;
  std::string text(int column) const;  // also the bytes of a blob
  bool is_null(int column) const;

 private:
  friend class Database;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  Statement(Database* database, sqlite3_stmt* statement);
  // Texts are not copied: they live until the next reset.
  template <typename Value>
  void bind_borrowed(int index, const Value& value) {
    if constexpr (std::is_convertible_v<const Value&, std::string_view>) {
      borrow(index, value);
    } else {
      bind(index, value);
    }
  }
  void borrow(int index, std::string_view text);
  void check(int result, std::string_view call);

  Database* database_;
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

// BEGIN IMMEDIATE; destruction without commit() rolls back.
class Transaction {
 public:
  explicit Transaction(Database& database);
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  void commit();  // on failure it throws and everything is rolled back

 private:
  Database& database_;
  bool open_ = true;
};

}  // namespace hearth::sqlite
