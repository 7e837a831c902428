// SPDX-License-Identifier: Apache-2.0
// The spawner and hearth-init together, as hearthd uses them.
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "sandbox/control.h"
#include "tests/integration/sandbox_support.h"

namespace hearth::sandbox::test {
namespace {

using std::chrono::milliseconds;

class InitTest : public SandboxTest {
 protected:
  void SetUp() override {
    SandboxTest::SetUp();
    if (const char* real = std::getenv("HEARTH_INIT")) policy.init_path = real;
  }
  template <typename T>
  T next(const Created& created) {
    int control = created.descriptors.control.get();
    pollfd wait{control, POLLIN, 0};
    EXPECT_EQ(::poll(&wait, 1, 10'000), 1);
    std::optional<control::Event> event = control::receive_event(control);
    if (event && std::holds_alternative<T>(*event)) return std::move(std::get<T>(*event));
    if (event && std::holds_alternative<control::Failed>(*event)) {
      const Failure& failure = std::get<control::Failed>(*event).failure;
      ADD_FAILURE() << failure.step << " " << failure.object << " " << failure.error;
    } else {
      ADD_FAILURE() << "another event";
    }
    return {};
  }
  // hearthd's ends are non-blocking.
  static std::string read_all(const sys::Fd& fd) {
    std::string text;
    char part[4096];
    for (pollfd wait{fd.get(), POLLIN, 0}; ::poll(&wait, 1, 10'000) == 1;) {
      ssize_t got = ::read(fd.get(), part, sizeof part);
      if (got <= 0) break;
      text.append(part, size_t(got));
    }
    return text;
  }
};

TEST_F(InitTest, RunsAProgramAsTheUserWithoutAnyCapability) {
  start();
  Created created = create(spec());
  control::Start start;
  start.stdio = control::Stdio::kRaw;
  start.argv = {"/bin/sh", "-c",
                "id -u; cat /var/task/app.py; grep -E 'Cap|NoNewPrivs|Seccomp:' /proc/self/status"};
  control::send(created.descriptors.control.get(), control::Request(start));
  auto started = next<control::Started>(created);
  started.in.reset();
  EXPECT_EQ(read_all(started.out),
            "1000\ncode\n"
            "CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n"
            "CapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n");
  EXPECT_EQ(read_all(started.log_err), "");
  auto exited = next<control::Exited>(created);
  EXPECT_EQ(exited.process, started.process);
  EXPECT_EQ(exited.wait_status, 0);
  kill_and_remove(created);
}

TEST_F(InitTest, SpecialisesASandboxWhoseProgramAlreadyRuns) {
  start();
  Spec generic = spec("");
  Created created = create(generic);
  control::Start start;
  start.stdio = control::Stdio::kRaw;
  start.argv = {"/bin/sh", "-c", "read go; cat /var/task/app.py; ulimit -n"};
  control::send(created.descriptors.control.get(), control::Request(start));
  auto started = next<control::Started>(created);
  Limits limits;
  limits.open_files_max = 99;
  client->specialise(generic.id, kBundle, limits, "f");
  expect_done(generic.id);
  ASSERT_EQ(::write(started.in.get(), "go\n", 3), 3);
  EXPECT_EQ(read_all(started.out), "code\n99\n");
  kill_and_remove(created);
}

}  // namespace
}  // namespace hearth::sandbox::test
