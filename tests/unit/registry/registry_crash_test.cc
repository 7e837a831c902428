// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>

#include "daemon/sqlite/database.h"
#include "tests/unit/registry/registry_fixture.h"

// hearthd is killed at every moment of a deploy, a rollback and a delete; what the next one finds
// is either the state before or the state after.
namespace hearth::registry {
namespace {

namespace fs = std::filesystem;

int statements_left = 0;

int on_statement(unsigned, void*, void*, void*) {
  if (--statements_left == 0) ::raise(SIGKILL);
  return 0;
}

int trace_database(sqlite3* db, const char**, const struct sqlite3_api_routines*) {
  // At the start of each statement, those of transactions included, and at its end.
  return sqlite3_trace_v2(db, SQLITE_TRACE_STMT | SQLITE_TRACE_PROFILE, on_statement, nullptr);
}

// Runs `body` in a child that dies by SIGKILL at statement number `at`. false: it lived to the end.
bool killed_at(int at, const std::function<void()>& body) {
  pid_t pid = ::fork();
  if (pid == 0) {
    statements_left = at;
    sqlite3_auto_extension(reinterpret_cast<void (*)()>(trace_database));
    body();
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0)
      << status;
  return WIFSIGNALED(status);
}

class RegistryCrash : public RegistryFixture {
 protected:
  void SetUp() override {
    RegistryFixture::SetUp();
    fs::create_directory(bundles());
  }
  std::string bundles() const { return dir() + "/bundles"; }
  void make_bundle(int content) const { fs::create_directory(bundles() + "/" + hash(content)); }

  // What must hold whatever happened: every version has its bundle, nothing else is there, and
  // every version once was live.
  void expect_whole(Registry& registry) {
    registry.collect_garbage(bundles());
    std::set<std::string> wanted;
    for (const VersionPtr& live : registry.live()) {
      for (const VersionPtr& each : registry.versions(live->tenant, live->manifest.name))
        wanted.insert(each->hash);
    }
    EXPECT_EQ(names_in(bundles()), wanted);
    sqlite::Database raw(db(), {});
    raw.check_integrity();
    EXPECT_EQ(raw.number("SELECT count(*) FROM versions WHERE NOT was_live"), 0);
    EXPECT_EQ(raw.number("SELECT count(*) FROM functions WHERE live_id IS NULL"), 0);
    EXPECT_EQ(raw.number("SELECT count(*) FROM pragma_foreign_key_check"), 0);
  }
};

TEST_F(RegistryCrash, AKilledDeployIsAllOrNothing) {
  int content = 1;
  {
    Registry registry(db());
    make_bundle(content);
    deploy(registry, "f", content);
  }
  uint32_t id_before = 0;
  int kills = 0, went_live = 0;
  bool lived = false;
  for (int at = 1; at < 500; ++at) {
    ++content;
    bool killed = killed_at(at, [&] {
      Registry registry(db());
      make_bundle(content);
      deploy(registry, "f", content);
    });
    Registry registry(db());
    VersionPtr live = registry.find("default", "f");
    ASSERT_TRUE(live) << "killed at statement " << at;
    went_live += live->hash == hash(content);
    EXPECT_GE(live->id, id_before);
    id_before = live->id;
    expect_whole(registry);
    if (!killed) {
      EXPECT_EQ(live->hash, hash(content));
      lived = true;
      break;
    }
    ++kills;
  }
  EXPECT_TRUE(lived);
  EXPECT_GT(kills, 20);
  EXPECT_GT(went_live, 1);      // killed after the commit, too
  EXPECT_LT(went_live, kills);  // and before
}

TEST_F(RegistryCrash, AKilledFirstStartLeavesADatabaseThatStarts) {
  for (int at = 1; killed_at(at, [&] { Registry registry(db()); }); ++at) {
    {
      Registry registry(db());
      EXPECT_EQ(registry.tenants().size(), 1u) << at;
    }
    for (const std::string& name : names_in(dir())) {
      if (name != "bundles") fs::remove(dir() + "/" + name);
    }
  }
}

TEST_F(RegistryCrash, AKilledDeleteOrRollbackIsAllOrNothing) {
  bool lived = false;
  for (int at = 1; at < 500; ++at) {
    {
      Registry registry(db());
      registry.remove("default", "f");
      for (int content : {1, 2}) {
        fs::create_directories(bundles() + "/" + hash(content));
        deploy(registry, "f", content);
      }
    }
    bool rolled = killed_at(at, [&] { Registry(db()).rollback("default", "f", {}); });
    {
      Registry registry(db());
      VersionPtr live = registry.find("default", "f");
      ASSERT_TRUE(live);
      EXPECT_TRUE(live->hash == hash(1) || live->hash == hash(2));
      EXPECT_EQ(registry.versions("default", "f").size(), 2u);
      expect_whole(registry);
    }
    bool removed = killed_at(at, [&] { Registry(db()).remove("default", "f"); });
    Registry registry(db());
    size_t versions = registry.versions("default", "f").size();
    EXPECT_TRUE(versions == 0 || versions == 2) << versions;
    EXPECT_EQ(versions == 2, registry.find("default", "f") != nullptr);
    expect_whole(registry);
    lived = !rolled && !removed;
    if (lived) break;
  }
  EXPECT_TRUE(lived);
}

}  // namespace
}  // namespace hearth::registry
