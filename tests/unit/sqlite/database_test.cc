// SPDX-License-Identifier: Apache-2.0
#include "daemon/sqlite/database.h"

#include <gtest/gtest.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace hearth::sqlite {
namespace {

class DatabaseTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "hearth-sqlite-XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    dir_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }
  std::string path() const { return dir_ + "/a.db"; }
  std::string dir_;
};

TEST_F(DatabaseTest, KeepsTextWithNulAndEmptyTextApartFromNull) {
  Database db(path(), {});
  db.exec("CREATE TABLE t (a TEXT, b BLOB, c INTEGER, d TEXT)");
  Statement insert = db.prepare("INSERT INTO t VALUES (?,?,?,?)");
  insert.run(std::string_view("a\0b", 3), std::string_view(), uint64_t{1} << 62, "x");
  insert.bind_null(4);
  Statement select = db.prepare("SELECT a, b, c, NULL FROM t");
  ASSERT_TRUE(select.step());
  EXPECT_EQ(select.text(0), std::string("a\0b", 3));
  EXPECT_FALSE(select.is_null(1));
  EXPECT_EQ(select.text(1), "");
  EXPECT_EQ(select.integer(2), int64_t{1} << 62);
  EXPECT_TRUE(select.is_null(3));
  EXPECT_FALSE(select.step());
}

TEST_F(DatabaseTest, RollsBackATransactionThatWasNotCommitted) {
  Database db(path(), {});
  db.exec("CREATE TABLE t (a)");
  {
    Transaction transaction(db);
    db.exec("INSERT INTO t VALUES (1)");
  }
  EXPECT_EQ(db.number("SELECT count(*) FROM t"), 0);
  Transaction transaction(db);
  db.exec("INSERT INTO t VALUES (1)");
  transaction.commit();
  EXPECT_EQ(db.number("SELECT count(*) FROM t"), 1);
}

TEST_F(DatabaseTest, SaysSqlitesOwnTextAndTheFile) {
  Database db(path(), {});
  db.exec("CREATE TABLE t (a UNIQUE)");
  Statement insert = db.prepare("INSERT INTO t VALUES (?)");
  insert.run(1);
  try {
    insert.run(1);
    FAIL() << "a duplicate was taken";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("UNIQUE constraint failed: t.a"), std::string::npos);
    EXPECT_NE(std::string(error.what()).find(path()), std::string::npos);
    EXPECT_FALSE(error.damaged());
  }
  insert.run(2);  // the statement is usable again
}

TEST_F(DatabaseTest, EnforcesForeignKeys) {
  Database db(path(), {});
  db.exec("CREATE TABLE p (a PRIMARY KEY); CREATE TABLE c (a REFERENCES p)");
  EXPECT_THROW(db.exec("INSERT INTO c VALUES (1)"), Error);
}

TEST_F(DatabaseTest, AFileThatIsNoDatabaseIsNamedAsDamaged) {
  std::ofstream(path()) << std::string(8192, 'x');
  try {
    Database db(path(), {});
    FAIL() << "opened";
  } catch (const Error& error) {
    EXPECT_TRUE(error.damaged());
    EXPECT_EQ(error.code(), EUCLEAN);
    EXPECT_NE(std::string(error.what()).find("damaged"), std::string::npos);
  }
}

TEST_F(DatabaseTest, FindsADamagedPage) {
  {
    Database db(path(), {});
    db.exec("CREATE TABLE t (a TEXT)");
    Statement insert = db.prepare("INSERT INTO t VALUES (?)");
    Transaction transaction(db);
    for (int i = 0; i < 500; ++i) insert.run(std::string(100, 'y'));
    transaction.commit();
  }
  {
    Database db(path(), {});
    db.check_integrity();
  }
  std::fstream file(path(), std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(3 * 4096);
  file << std::string(4096, '\x7f');
  file.close();
  Database db(path(), {});
  EXPECT_THROW(db.check_integrity(), Error);
}

TEST_F(DatabaseTest, MigratesStepByStepAndRefusesANewerSchema) {
  const std::array<const char*, 1> first = {"CREATE TABLE t (a)"};
  const std::array<const char*, 2> second = {first[0], "ALTER TABLE t ADD COLUMN b"};
  {
    Database db(path(), {});
    db.migrate(first);
    db.migrate(second);
    db.migrate(second);
    EXPECT_EQ(db.number("PRAGMA user_version"), 2);
    db.exec("INSERT INTO t VALUES (1, 2)");
  }
  Database db(path(), {});
  EXPECT_THROW(db.migrate(first), Error);
}

TEST_F(DatabaseTest, AFailedMigrationStepLeavesTheOldSchema) {
  Database db(path(), {});
  const std::array<const char*, 1> bad = {"CREATE TABLE t (a); CREATE TABLE t (a)"};
  EXPECT_THROW(db.migrate(bad), Error);
  EXPECT_EQ(db.number("SELECT count(*) FROM sqlite_schema"), 0);
  EXPECT_EQ(db.number("PRAGMA user_version"), 0);
}

TEST_F(DatabaseTest, AMissingFolderGivesTheSystemsReason) {
  try {
    Database db(dir_ + "/none/a.db", {});
    FAIL() << "opened";
  } catch (const sys::Error& error) {
    EXPECT_EQ(error.code(), ENOENT);
  }
}

TEST_F(DatabaseTest, AReadOnlyConnectionSeesCommitsAndCannotWrite) {
  Database db(path(), {});
  db.exec("CREATE TABLE t (a)");
  Database reader(path(), {.read_only = true});
  db.exec("INSERT INTO t VALUES (7)");
  EXPECT_EQ(reader.number("SELECT a FROM t"), 7);
  EXPECT_THROW(reader.exec("DELETE FROM t"), Error);
}

}  // namespace
}  // namespace hearth::sqlite
