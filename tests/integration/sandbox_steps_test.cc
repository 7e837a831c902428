// SPDX-License-Identifier: Apache-2.0
// Every step of a sandbox' set-up is made to fail once: it must be named with its errno, nothing
// may be left, and the next sandbox must work.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <sstream>

#include "tests/integration/sandbox_support.h"

namespace hearth::sandbox::test {
namespace {

std::vector<std::string> all_steps() {
  const char* program = std::getenv("HEARTH_SPAWNER_FAULTS");
  std::vector<std::string> steps;
  FILE* list = ::popen(fmt::format("{} --list-steps", program ? program : "false").c_str(), "r");
  char line[256];
  while (list && std::fgets(line, sizeof line, list)) {
    line[std::strcspn(line, "\n")] = '\0';
    steps.push_back(line);
  }
  if (list) ::pclose(list);
  return steps;
}

class StepTest : public SandboxTest {
 protected:
  void arm(const std::string& step, int error) {
    ::setenv("HEARTH_SPAWNER_FAIL_STEP", step.c_str(), 1);
    ::setenv("HEARTH_SPAWNER_FAIL_ERRNO", std::to_string(error).c_str(), 1);
    spawner = std::getenv("HEARTH_SPAWNER_FAULTS");
    start();
    ::unsetenv("HEARTH_SPAWNER_FAIL_STEP");
    ::unsetenv("HEARTH_SPAWNER_FAIL_ERRNO");
  }
  // Makes a generic sandbox and specialises it, until something fails.
  Failure fail_once(const Spec& wanted) {
    client->create(wanted);
    Answer answer = wait_answer();
    if (auto* refused = std::get_if<Refused>(&answer)) return refused->failure;
    Created created = std::move(std::get<Created>(answer));
    Failure failure = report_of(created);
    if (failure.step.empty()) {
      client->specialise(wanted.id, kBundle, wanted.limits, "f");
      failure = expect_refusal(wanted.id);
    }
    remove(wanted.id);
    return failure;
  }
};

TEST_F(StepTest, EachReportsItsNameAndErrnoAndLeavesNothing) {
  std::vector<std::string> steps = all_steps();
  ASSERT_GT(steps.size(), 25u);
  for (const std::string& step : steps) {
    SCOPED_TRACE(step);
    arm(step, EDQUOT);
    size_t mounts = lines(fmt::format("/proc/{}/mountinfo", client->pid()));
    size_t descriptors = open_descriptors(client->pid());
    Spec wanted = spec("");
    Failure failure = fail_once(wanted);
    EXPECT_EQ(failure.step.substr(0, step.size()), step);
    EXPECT_NE(failure.object, "");
    EXPECT_EQ(failure.error, EDQUOT);
    EXPECT_FALSE(exists(group(wanted)));
    EXPECT_EQ(children_of(client->pid()), 0u);
    EXPECT_EQ(open_descriptors(client->pid()), descriptors);
    EXPECT_EQ(lines(fmt::format("/proc/{}/mountinfo", client->pid())), mounts);
    // It failed once; the next one is whole.
    Created created = create(spec());
    EXPECT_EQ(run(created, "cat /var/task/app.py").text, "code\n");
    kill_and_remove(created);
    stop();
  }
}

TEST_F(SandboxTest, TheInstalledSpawnerTakesNoFaults) {
  ::setenv("HEARTH_SPAWNER_FAIL_STEP", "clone", 1);
  ::setenv("HEARTH_SPAWNER_FAIL_ERRNO", "5", 1);
  start();
  ::unsetenv("HEARTH_SPAWNER_FAIL_STEP");
  ::unsetenv("HEARTH_SPAWNER_FAIL_ERRNO");
  kill_and_remove(create(spec()));
}

// A failure that is not injected: hearth-init is no program.
TEST_F(SandboxTest, ReportsARealFailureWithItsObject) {
  policy.init_path = state + "/bundles/" + kBundle + "/app.py";
  start();
  Failure failure = failed(spec());
  EXPECT_EQ(failure.step, "execute hearth-init: execveat");
  EXPECT_EQ(failure.object, "hearth-init");
  EXPECT_EQ(failure.error, EACCES);
}

}  // namespace
}  // namespace hearth::sandbox::test
