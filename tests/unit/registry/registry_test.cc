// SPDX-License-Identifier: Apache-2.0
#include "daemon/registry/registry.h"

#include <gtest/gtest.h>

#include <chrono>
#include <set>

#include "daemon/sqlite/database.h"
#include "tests/unit/registry/registry_fixture.h"

namespace hearth::registry {
namespace {

class RegistryTest : public RegistryFixture {};

TEST_F(RegistryTest, ANewDatabaseHasTheDefaultTenantAndNothingElse) {
  Registry registry(db());
  ASSERT_EQ(registry.tenants().size(), 1u);
  EXPECT_EQ(registry.tenants()[0].name, "default");
  auto now = std::chrono::duration_cast<std::chrono::microseconds>(
      std::chrono::system_clock::now().time_since_epoch());
  EXPECT_NEAR(static_cast<double>(registry.tenants()[0].created_at_us),
              static_cast<double>(now.count()), 60e6);
  EXPECT_TRUE(registry.live().empty());
}

TEST_F(RegistryTest, ADeletedDefaultTenantDoesNotComeBack) {
  EXPECT_TRUE(Registry(db()).delete_tenant("default"));
  EXPECT_EQ(Registry(db()).tenant("default"), nullptr);
}

TEST_F(RegistryTest, AVersionIsFoundOnlyWhenItIsLive) {
  Registry registry(db());
  VersionPtr version = registry.add("default", hash(1), 10, manifest("f"));
  EXPECT_EQ(version->number, 1u);
  EXPECT_GT(version->id, 0u);
  EXPECT_EQ(registry.find("default", "f"), nullptr);
  EXPECT_TRUE(registry.live().empty());
  registry.go_live(version);
  EXPECT_EQ(registry.find("default", "f"), version);
  EXPECT_EQ(registry.find("default", "g"), nullptr);
  EXPECT_EQ(registry.find("other", "f"), nullptr);
  EXPECT_EQ(registry.find("defaul", "tf"), nullptr);
  EXPECT_EQ(registry.find("", ""), nullptr);
}

TEST_F(RegistryTest, EveryFieldSurvivesAReopen) {
  Manifest full = manifest("f");
  full.runtime = Runtime::kExec;
  full.handler = "bin/straße.sh";
  full.image = "minimal";
  full.memory_mb = 17;
  full.timeout_ms = 18;
  full.cpu_ms = 19;
  full.cpu_percent = 20;
  full.processes_max = 21;
  full.tmp_mb = 22;
  full.io_mb_per_s = 27;
  full.io_reads_per_s = 280;
  full.output_kb = 23;
  full.log_kb = 24;
  full.reuse = Reuse::kNever;
  full.concurrency_max = 25;
  full.warm_min = 26;
  full.env = {{"A", "x=y\n\"'\t"}, {"B", ""}, {"C", std::string(30000, 'c')}};
  full.http = HttpTrigger{false, {"GET", "POST"}};
  full.exec_http_env = true;
  Manifest plain = manifest("g");
  plain.http = HttpTrigger{};
  Tenant tenant{"acme", 5, 123456789};
  Version first, second;
  {
    Registry registry(db());
    EXPECT_TRUE(registry.create_tenant(tenant));
    VersionPtr f = registry.add("acme", hash(1), uint64_t{1} << 40, full),
               g = registry.add("acme", hash(2), 0, plain);
    registry.go_live(f);
    registry.go_live(g);
    first = *f, second = *g;
  }
  Registry registry(db());
  ASSERT_TRUE(registry.tenant("acme"));
  EXPECT_EQ(registry.tenant("acme")->concurrency_max, 5u);
  EXPECT_EQ(registry.tenant("acme")->created_at_us, 123456789u);
  for (const Version* before : {&first, &second}) {
    VersionPtr after = registry.find("acme", before->manifest.name);
    ASSERT_TRUE(after);
    EXPECT_EQ(after->id, before->id);
    EXPECT_EQ(after->number, before->number);
    EXPECT_EQ(after->tenant, "acme");
    EXPECT_EQ(after->hash, before->hash);
    EXPECT_EQ(after->bytes, before->bytes);
    EXPECT_EQ(after->created_at_us, before->created_at_us);
    EXPECT_EQ(after->manifest, before->manifest);
  }
}

TEST_F(RegistryTest, DeployingTheSameTwiceIsNoChange) {
  Registry registry(db());
  VersionPtr first = deploy(registry, "f", 1);
  EXPECT_EQ(registry.add("default", hash(1), 10, manifest("f")), first);
  EXPECT_EQ(registry.versions("default", "f").size(), 1u);
  // The same bytes under another host's bounds are another manifest.
  Manifest lowered = manifest("f");
  lowered.memory_mb = 64;
  EXPECT_EQ(registry.add("default", hash(1), 10, lowered)->number, 2u);
}

TEST_F(RegistryTest, VersionsOfOneFunctionAreNumberedAndAnOldOneStaysUntilItIsReplaced) {
  Registry registry(db());
  VersionPtr one = deploy(registry, "f", 1);
  VersionPtr two = registry.add("default", hash(2), 10, manifest("f"));
  EXPECT_EQ(two->number, 2u);
  EXPECT_EQ(registry.find("default", "f"), one);
  registry.go_live(two);
  EXPECT_EQ(registry.find("default", "f"), two);
  EXPECT_EQ(one->hash, hash(1));  // a call that holds it still can read it
  EXPECT_EQ(registry.versions("default", "f"), (std::vector<VersionPtr>{one, two}));
  EXPECT_EQ(deploy(registry, "g", 1)->number, 1u);
}

TEST_F(RegistryTest, IdsAndNumbersAreNeverUsedAgain) {
  std::set<uint32_t> ids;
  uint32_t number = 0;
  for (int round = 0; round < 3; ++round) {
    Registry registry(db());
    VersionPtr kept = deploy(registry, "f", round);
    VersionPtr dropped = registry.add("default", hash(99), 10, manifest("f"));
    registry.discard(dropped);
    for (const VersionPtr& version : {kept, dropped}) {
      EXPECT_TRUE(ids.insert(version->id).second);
      EXPECT_EQ(version->number, ++number);
    }
    EXPECT_TRUE(registry.remove("default", "f"));
    EXPECT_TRUE(registry.delete_tenant("default"));
    EXPECT_TRUE(registry.create_tenant({"default"}));
  }
}

TEST_F(RegistryTest, DiscardForgetsOnlyWhatNeverWasLive) {
  Registry registry(db());
  VersionPtr only = registry.add("default", hash(1), 10, manifest("f"));
  registry.discard(only);
  EXPECT_TRUE(registry.versions("default", "f").empty());
  EXPECT_FALSE(registry.remove("default", "f"));
  registry.discard(only);  // twice is no harm
  VersionPtr one = deploy(registry, "f", 1), two = deploy(registry, "f", 2);
  registry.discard(one);
  registry.discard(two);
  EXPECT_EQ(registry.versions("default", "f").size(), 2u);
  EXPECT_EQ(Registry(db()).find("default", "f")->hash, hash(2));
}

TEST_F(RegistryTest, RollbackGoesToTheVersionThatWasLiveBefore) {
  Registry registry(db());
  VersionPtr one = deploy(registry, "f", 1);
  EXPECT_EQ(registry.rollback("default", "f", {}), nullptr);  // there was none before
  VersionPtr two = deploy(registry, "f", 2), three = deploy(registry, "f", 3);
  EXPECT_EQ(registry.rollback("default", "f", 1), one);
  EXPECT_EQ(registry.find("default", "f"), one);
  EXPECT_EQ(registry.rollback("default", "f", {}), three);
  EXPECT_EQ(registry.rollback("default", "f", {}), one);
  EXPECT_EQ(registry.rollback("default", "f", 1), one);  // no change: three is still the one before
  Registry again(db());
  EXPECT_EQ(again.find("default", "f")->number, 1u);
  EXPECT_EQ(again.rollback("default", "f", {})->number, 3u);
  EXPECT_EQ(two->number, 2u);
}

TEST_F(RegistryTest, RollbackRefusesWhatDoesNotExistOrNeverWasLive) {
  Registry registry(db());
  VersionPtr one = deploy(registry, "f", 1);
  VersionPtr loading = registry.add("default", hash(2), 10, manifest("f"));
  EXPECT_EQ(registry.rollback("default", "f", loading->number), nullptr);
  EXPECT_EQ(registry.rollback("default", "f", 7), nullptr);
  EXPECT_EQ(registry.rollback("default", "f", 0), nullptr);
  EXPECT_EQ(registry.rollback("default", "g", {}), nullptr);
  EXPECT_EQ(registry.rollback("none", "f", {}), nullptr);
  EXPECT_EQ(registry.find("default", "f"), one);
}

TEST_F(RegistryTest, RemoveForgetsAllVersionsOfOneFunction) {
  Registry registry(db());
  deploy(registry, "f", 1);
  deploy(registry, "f", 2);
  VersionPtr other = deploy(registry, "g", 1);
  EXPECT_TRUE(registry.remove("default", "f"));
  EXPECT_FALSE(registry.remove("default", "f"));
  EXPECT_EQ(registry.find("default", "f"), nullptr);
  EXPECT_FALSE(registry.hash_in_use(hash(2)));
  EXPECT_TRUE(registry.hash_in_use(hash(1)));  // by g
  Registry again(db());
  EXPECT_EQ(again.live().size(), 1u);
  EXPECT_EQ(again.find("default", "g")->id, other->id);
}

TEST_F(RegistryTest, TenantsAreApart) {
  Registry registry(db());
  EXPECT_TRUE(registry.create_tenant({"acme", 3}));
  EXPECT_FALSE(registry.create_tenant({"acme", 4}));
  EXPECT_EQ(registry.tenant("acme")->concurrency_max, 3u);
  EXPECT_GT(registry.tenant("acme")->created_at_us, 0u);
  VersionPtr ours = deploy(registry, "f", 1);
  VersionPtr theirs = registry.add("acme", hash(2), 10, manifest("f"));
  EXPECT_FALSE(registry.delete_tenant("acme"));  // a deploy is under way
  registry.go_live(theirs);
  EXPECT_EQ(registry.find("default", "f"), ours);
  EXPECT_EQ(registry.find("acme", "f"), theirs);
  EXPECT_EQ(registry.live("acme"), std::vector<VersionPtr>{theirs});
  EXPECT_EQ(registry.live(), (std::vector<VersionPtr>{theirs, ours}));
  EXPECT_FALSE(registry.delete_tenant("acme"));
  EXPECT_TRUE(registry.remove("acme", "f"));
  EXPECT_TRUE(registry.delete_tenant("acme"));
  EXPECT_FALSE(registry.delete_tenant("acme"));
  EXPECT_EQ(registry.find("default", "f"), ours);
  EXPECT_EQ(Registry(db()).tenants().size(), 1u);
}

TEST_F(RegistryTest, ImagesInUseAreThoseOfAnyVersion) {
  Registry registry(db());
  Manifest m = manifest("f");
  m.image = "minimal";
  registry.go_live(registry.add("default", hash(1), 1, m));
  deploy(registry, "f", 2);
  EXPECT_TRUE(registry.image_in_use("minimal"));
  EXPECT_FALSE(registry.image_in_use("python3"));
}

TEST_F(RegistryTest, GarbageIsWhatNoVersionNames) {
  Registry registry(db());
  std::string bundles = dir() + "/bundles";
  for (int i : {1, 2, 3}) std::filesystem::create_directories(bundles + "/" + hash(i) + "/sub");
  std::filesystem::create_directory_symlink("/", bundles + "/link");
  deploy(registry, "f", 1);
  deploy(registry, "f", 2);
  std::vector<std::string> removed = registry.collect_garbage(bundles);
  EXPECT_EQ(std::set<std::string>(removed.begin(), removed.end()),
            (std::set<std::string>{hash(3), "link"}));
  EXPECT_EQ(names_in(bundles), (std::set<std::string>{hash(1), hash(2)}));
  EXPECT_TRUE(registry.collect_garbage(bundles).empty());
  EXPECT_THROW(registry.collect_garbage(dir() + "/none"), sys::Error);
}

TEST_F(RegistryTest, EmptyingAFolderLeavesTheFolder) {
  std::filesystem::create_directories(dir() + "/uploads/a/b");
  std::filesystem::create_symlink(dir(), dir() + "/uploads/link");
  empty_folder(dir() + "/uploads");
  EXPECT_TRUE(names_in(dir() + "/uploads").empty());
  EXPECT_TRUE(std::filesystem::exists(dir()));
  EXPECT_THROW(empty_folder(dir() + "/none"), sys::Error);
}

TEST_F(RegistryTest, ADamagedDatabaseIsNamedAndNotOverwritten) {
  std::string garbage(20000, 'x');
  std::ofstream(db()) << garbage;
  try {
    Registry registry(db());
    FAIL() << "opened";
  } catch (const sys::Error& error) {
    EXPECT_NE(std::string(error.what()).find("damaged"), std::string::npos);
    EXPECT_NE(std::string(error.what()).find(db()), std::string::npos);
  }
  EXPECT_EQ(std::filesystem::file_size(db()), garbage.size());
}

TEST_F(RegistryTest, ADatabaseOfANewerHearthIsRefused) {
  { Registry registry(db()); }
  { sqlite::Database(db(), {}).exec("PRAGMA user_version=1000"); }
  EXPECT_THROW(Registry registry(db()), sys::Error);
}

TEST_F(RegistryTest, AWordThatNoRuntimeHasIsNamed) {
  {
    Registry registry(db());
    deploy(registry, "f", 1);
  }
  { sqlite::Database(db(), {}).exec("UPDATE versions SET runtime = 'cobol'"); }
  try {
    Registry registry(db());
    FAIL() << "opened";
  } catch (const sys::Error& error) {
    EXPECT_NE(std::string(error.what()).find("cobol"), std::string::npos);
  }
}

TEST_F(RegistryTest, AFailedWriteChangesNothingInMemoryOrOnDisk) {
  Registry registry(db());
  VersionPtr one = deploy(registry, "f", 1);
  VersionPtr two = registry.add("default", hash(2), 10, manifest("f"));
  // Another writer holds the database longer than anybody waits: every change fails.
  sqlite::Database other(db(), {.busy_timeout_ms = 0});
  other.exec("BEGIN IMMEDIATE");
  sqlite::Database probe(db(), {.busy_timeout_ms = 0});
  EXPECT_THROW(probe.exec("BEGIN IMMEDIATE"), sys::Error);
  EXPECT_THROW(registry.go_live(two), sys::Error);
  EXPECT_EQ(registry.find("default", "f"), one);
  EXPECT_THROW(registry.add("default", hash(3), 10, manifest("f")), sys::Error);
  EXPECT_EQ(registry.versions("default", "f").size(), 2u);
  other.exec("ROLLBACK");
  registry.go_live(two);
  EXPECT_EQ(registry.find("default", "f"), two);
}

}  // namespace
}  // namespace hearth::registry
