// SPDX-License-Identifier: Apache-2.0
// hearth-init in sandboxes that the spawner made: what the two rely on of each other.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "sandbox/sys/error.h"
#include "tests/integration/sandbox_support.h"
#include "tests/support/control_talk.h"

namespace hearth::sandbox::test {
namespace {

using control::Role;
using control::Stdio;

class InitInSandbox : public SandboxTest {
 protected:
  void SetUp() override {
    SandboxTest::SetUp();
    if (state.empty()) return;
    policy.init_path = std::getenv("HEARTH_INIT");
    std::filesystem::copy_file(std::getenv("INIT_FIXTURE"),
                               state + "/bundles/" + kBundle + "/fixture");
    start();
  }

  static control::Started start_fixture(const Created& box, const std::string& mode,
                                        Role role = Role::kServer) {
    control::send(control_of(box), control::Request(control::Start{
                                       Stdio::kFramed, role, {"/var/task/fixture", mode}, {}}));
    return next_started(control_of(box));
  }
  static control::Started fork(const Created& box) {
    control::send(control_of(box), control::Request(control::Fork{}));
    return next_started(control_of(box));
  }
  static void send_recycle(const Created& box) {
    control::send(control_of(box), control::Request(control::Recycle{}));
  }
  static int control_of(const Created& box) { return box.descriptors.control.get(); }

  // As many as the cgroup has.
  static size_t processes(const Created& box) {
    std::string text(4096, '\0');
    ssize_t size = sys::check(
        ::pread(box.descriptors.cgroup_procs.get(), text.data(), text.size(), 0), "read");
    return size_t(std::count(text.begin(), text.begin() + size, '\n'));
  }
};

TEST_F(InitInSandbox, StartsAProgramAsTheUser) {
  Created box = create(spec());
  control::Started program = start_fixture(box, "serve");
  EXPECT_EQ(tell(program, "state fds"), "0 1 2 3");
  EXPECT_EQ(tell(program, "state Uid"), "1000\t1000\t1000\t1000");
  for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"})
    EXPECT_EQ(tell(program, std::string("state ") + set), "0000000000000000") << set;
  EXPECT_EQ(tell(program, "state NoNewPrivs"), "1");
  EXPECT_EQ(tell(program, "state Seccomp"), "2");
  EXPECT_EQ(tell(program, "state cwd"), "/var/task");
  EXPECT_EQ(tell(program, "see /proc/1/status"), "No such file or directory");
  EXPECT_EQ(tell(program, "kill 1"), "Operation not permitted");
  kill_and_remove(box);
}

TEST_F(InitInSandbox, RecyclesFilesAndProcessesWithItsFourCapabilities) {
  Created box = create(spec());
  control::Started zygote = start_fixture(box, "honest", Role::kZygote);
  control::Started child = fork(box);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(tell(child, "awkward /tmp"), "done");
    EXPECT_EQ(tell(child, "awkward /dev/shm"), "done");
    for (int orphan = 0; orphan < 5; ++orphan) EXPECT_EQ(tell(child, "orphan"), "done");
    EXPECT_EQ(processes(box), 8u);
    send_recycle(box);
    child = next_started(control_of(box));
    EXPECT_TRUE(child.loaded);
    EXPECT_EQ(processes(box), 3u);
    EXPECT_EQ(tell(child, "see /tmp/sticky"), "No such file or directory");
    EXPECT_EQ(tell(child, "see /dev/shm/sticky"), "No such file or directory");
  }
  kill_and_remove(box);
}

// The limit on processes holds the bomb, init ends it.
TEST_F(InitInSandbox, AForkBombIsHeldByTheLimitAndEnded) {
  Created box = create(spec());
  control::Started program = start_fixture(box, "serve");
  EXPECT_EQ(tell(program, "bomb"), "done");
  EXPECT_LE(processes(box), process_rlimit(Limits{}.processes_max) + 1);
  send_recycle(box);
  EXPECT_EQ(tell(next_started(control_of(box)), "state pid").empty(), false);
  EXPECT_EQ(processes(box), 2u);
  kill_and_remove(box);
}

TEST_F(InitInSandbox, AZygotesOwnProcessesAreSeenAtRecycle) {
  Created box = create(spec());
  control::Started zygote = start_fixture(box, "parent", Role::kZygote);
  control::Started child = fork(box);
  send_recycle(box);
  Failure failure = next_failure(control_of(box));
  EXPECT_EQ(failure.step, "scrub");
  EXPECT_EQ(failure.error, EBUSY);
  kill_and_remove(box);
}

TEST_F(InitInSandbox, AFullTmpIsProbedAndEmptied) {
  Spec small = spec();
  small.limits.tmp_bytes = 1 << 20;
  Created box = create(small);
  control::Started program = start_fixture(box, "serve");
  EXPECT_EQ(tell(program, "write 2000"), "done");
  control::send(control_of(box), control::Request(control::Probe{}));
  auto probed = std::get<control::Probed>(next_event(control_of(box)));
  EXPECT_EQ(probed.tmp_bytes, 1u << 20);
  EXPECT_EQ(probed.tmp_bytes_used, 1u << 20);
  send_recycle(box);
  program = next_started(control_of(box));
  control::send(control_of(box), control::Request(control::Probe{}));
  EXPECT_EQ(std::get<control::Probed>(next_event(control_of(box))).tmp_bytes_used, 0u);
  kill_and_remove(box);
}

TEST_F(InitInSandbox, ClosingTheControlSocketEndsIt) {
  Created box = create(spec());
  control::Started program = start_fixture(box, "serve");
  EXPECT_EQ(tell(program, "orphan"), "done");
  box.descriptors.control.reset();
  EXPECT_TRUE(dead_within(box.descriptors.pidfd.get(), milliseconds(5000)));
  EXPECT_EQ(read_all(program.log_err.get()), "");
  remove(box.id);
}

}  // namespace
}  // namespace hearth::sandbox::test
