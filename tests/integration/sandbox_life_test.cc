// SPDX-License-Identifier: Apache-2.0
// How sandboxes end, and the spawner itself.
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "sandbox/sys/error.h"
#include "tests/integration/sandbox_support.h"

namespace hearth::sandbox::test {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

std::string pread_text(const sys::Fd& fd) {
  char text[4096];
  ssize_t size = ::pread(fd.get(), text, sizeof text, 0);
  return size > 0 ? std::string(text, size_t(size)) : "";
}

TEST_F(SandboxTest, LeavesNothingBehind) {
  start();
  kill_and_remove(create(spec()));  // makes what stays: the cgroups of tenant and function
  size_t descriptors = open_descriptors(client->pid()), ours = open_descriptors(::getpid());
  size_t mounts = lines(fmt::format("/proc/{}/mountinfo", client->pid()));
  size_t host_mounts = lines("/proc/self/mountinfo");
  std::string first_map;
  for (int i = 0; i < 50; ++i) {
    Spec one = spec();
    Created created = create(one);
    kill_and_remove(created);
    EXPECT_FALSE(exists(group(one)));
    EXPECT_FALSE(exists(fmt::format("/proc/{}", created.init_host_pid)));
  }
  EXPECT_EQ(open_descriptors(client->pid()), descriptors);
  EXPECT_EQ(open_descriptors(::getpid()), ours);
  EXPECT_EQ(lines(fmt::format("/proc/{}/mountinfo", client->pid())), mounts);
  EXPECT_EQ(lines("/proc/self/mountinfo"), host_mounts);
  EXPECT_EQ(children_of(client->pid()), 0u);
  client->prune(900, "acme", "f");
  expect_done(900);
  client->prune(901, "acme", "");
  expect_done(901);
  EXPECT_FALSE(exists(base + "/tenants/acme"));
}

TEST_F(SandboxTest, RemoveKillsWhatStillLives) {
  start();
  Spec one = spec();
  Created created = create(one);
  run(created, "for i in 1 2 3; do setsid sleep 1000 > /dev/null 2>&1 & done");
  remove(one.id);
  EXPECT_TRUE(dead_within(created.descriptors.pidfd.get(), milliseconds(0)));
  EXPECT_FALSE(exists(group(one)));
}

TEST_F(SandboxTest, PruneKeepsWhatIsInUse) {
  start();
  Spec one = spec();
  Created created = create(one);
  client->prune(900, "acme", "f");
  EXPECT_EQ(expect_refusal(900).error, EBUSY);
  client->prune(901, "acme", "");
  EXPECT_EQ(expect_refusal(901).error, EBUSY);
  client->prune(902, "unknown", "f");
  expect_done(902);
  EXPECT_EQ(run(created, "echo alive").text, "alive\n");
  kill_and_remove(created);
  kill_and_remove(create(spec()));  // after a prune its parents are made again
}

TEST_F(SandboxTest, PurgeRemovesWhatAnEarlierRunLeft) {
  start();
  Spec left = spec(), mine = spec();
  left.tenant = "former";
  Created old = create(left);
  stop();
  EXPECT_TRUE(dead_within(old.descriptors.pidfd.get(), milliseconds(5000)));
  EXPECT_TRUE(exists(group(left) + "/cpu.stat"));  // its counters wait for the recovery
  start();
  // A process that outlived its spawner, as after a lost race.
  pid_t stray = ::fork();
  if (stray == 0) ::pause();
  std::ofstream(group(left) + "/cgroup.procs") << stray << std::flush;
  Created created = create(mine);
  client->purge(900);
  expect_done(900);
  EXPECT_FALSE(exists(base + "/tenants/former"));
  EXPECT_EQ(run(created, "echo alive").text, "alive\n");
  int status = 0;
  EXPECT_EQ(::waitpid(stray, &status, 0), stray);
  EXPECT_TRUE(WIFSIGNALED(status));
  kill_and_remove(created);
  kill_and_remove(create(spec()));
}

TEST_F(SandboxTest, TheEndOfHearthdKillsEverySandbox) {
  start();
  std::vector<Created> all;
  std::vector<Spec> specs;
  for (int i = 0; i < 5; ++i) {
    specs.push_back(spec());
    all.push_back(create(specs.back()));
    run(all.back(), "setsid sleep 1000 > /dev/null 2>&1 &");
  }
  int32_t pid = client->pid();
  stop();
  EXPECT_FALSE(exists(fmt::format("/proc/{}", pid)));
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(dead_within(all[i].descriptors.pidfd.get(), milliseconds(0)));
    EXPECT_EQ(pread_text(all[i].descriptors.cgroup_events).substr(0, 12), "populated 0\n");
    EXPECT_TRUE(exists(group(specs[i])));  // for the recovery
  }
}

TEST_F(SandboxTest, TheSpawnersDeathKillsEverySandbox) {
  start();
  std::vector<Created> all;
  for (int i = 0; i < 5; ++i) {
    all.push_back(create(spec()));
    run(all.back(), "setsid sleep 1000 > /dev/null 2>&1 &");
  }
  ASSERT_EQ(::kill(client->pid(), SIGKILL), 0);
  for (Created& created : all) {
    EXPECT_TRUE(dead_within(created.descriptors.pidfd.get(), milliseconds(5000)));
  }
  EXPECT_THROW((void)wait_answer(), sys::Error);
}

TEST_F(SandboxTest, OutlivesSignalsMeantForItsOwner) {
  start();
  Created created = create(spec());
  for (int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) ::kill(client->pid(), number);
  EXPECT_EQ(run(created, "echo alive").text, "alive\n");
  kill_and_remove(created);
}

TEST_F(SandboxTest, TheSpawnerItselfHoldsFourCapabilities) {
  start();
  std::string status = read_text(fmt::format("/proc/{}/status", client->pid()));
  for (const char* line : {"CapInh:\t0000000000000000", "CapPrm:\t00000000002000c4",
                           "CapEff:\t00000000002000c4", "CapBnd:\t00000000002000c4",
                           "CapAmb:\t0000000000000000", "NoNewPrivs:\t1", "Threads:\t1"}) {
    EXPECT_NE(status.find(line), std::string::npos) << line << "\n" << status;
  }
  EXPECT_EQ(fs::read_symlink(fmt::format("/proc/{}/cwd", client->pid())), "/");
  // Its own root shows nothing of the host.
  std::string root = fmt::format("/proc/{}/root", client->pid());
  EXPECT_TRUE(exists(root + "/state"));
  EXPECT_FALSE(exists(root + "/etc"));
  EXPECT_FALSE(exists(root + "/usr"));
}

TEST_F(SandboxTest, SaysWhyItCannotStart) {
  policy.runtimes_dir = state + "/nothing";
  try {
    start();
    FAIL();
  } catch (const sys::Error& error) {
    EXPECT_EQ(error.object(), policy.runtimes_dir);
    EXPECT_EQ(error.code(), ENOENT);
  }
}

TEST_F(SandboxTest, RefusesStrictModeWithoutTheControllers) {
  policy.mode = LimitsMode::kStrict;
  if (exists(base + "/memory.max")) GTEST_SKIP() << "this host has every controller";
  try {
    start();
    FAIL();
  } catch (const sys::Error& error) {
    EXPECT_EQ(error.code(), ENOTSUP);
    EXPECT_NE(std::string(error.what()).find("memory"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace hearth::sandbox::test
