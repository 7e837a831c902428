// SPDX-License-Identifier: Apache-2.0
// A zygote runs user code: hearth-init must neither believe it nor wait for it without end.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <chrono>
#include <fstream>
#include <string>

#include "sandbox/sys/error.h"
#include "tests/unit/sandbox/init_box.h"

namespace hearth::sandbox {
namespace {

using control::Role;

TEST(InitZygote, ParksAChildThatIsLoaded) {
  Box box;
  control::Started zygote = box.start("honest", Role::kZygote);
  box.send(control::Fork{});
  control::Started child = box.next_started();
  EXPECT_EQ(child.process, 2u);
  EXPECT_TRUE(child.loaded);
  EXPECT_FALSE(child.zygote);
  EXPECT_EQ(tell(child, "state PPid"), "1");
  EXPECT_EQ(tell(child, "state fds"), "0 1 2 3");
  EXPECT_EQ(tell(child, "state Uid"), "1000\t1000\t1000\t1000");
  EXPECT_EQ(tell(child, "state Seccomp"), "2");
  EXPECT_EQ(tell(child, "print"), "done");
  EXPECT_EQ(tell(child, "exit 0"), "end of file");
  EXPECT_EQ(read_all(child.log_out.get()), "out");
  EXPECT_EQ(box.next_exited().process, 2u);
}

TEST(InitZygote, OnlyOneChildAtATime) {
  Box box;
  control::Started zygote = box.start("honest", Role::kZygote);
  box.send(control::Fork{});
  control::Started child = box.next_started();
  box.send(control::Fork{});
  EXPECT_EQ(box.next_failure().error, EBUSY);
}

TEST(InitZygote, AChildCannotReachInitOrTheZygote) {
  Box box;
  control::Started zygote = box.start("honest", Role::kZygote);
  box.send(control::Fork{});
  control::Started child = box.next_started();
  for (const char* command : {"stop 1", "kill 1", "stop 2", "kill 2", "kill -1", "kill -2",
                              "trace 1", "trace 2", "nice 1", "nice 2"})
    EXPECT_EQ(tell(child, command), "Operation not permitted") << command;
  EXPECT_EQ(tell(child, "see /proc/1/status"), "No such file or directory");
  EXPECT_EQ(tell(child, "nice 0"), "done");
  EXPECT_EQ(tell(child, "see /proc/self/status"), "done");
  // What it starts itself it may kill, itself included.
  EXPECT_EQ(tell(child, "kill " + tell(child, "state pid")), "end of file");
}

struct Hostile {
  const char* mode;
  int error;
};

class InitZygoteHostile : public testing::TestWithParam<Hostile> {};

TEST_P(InitZygoteHostile, IsAFailureInTime) {
  Box box;
  control::Started zygote = box.start(GetParam().mode, Role::kZygote);
  box.send(control::Fork{});
  Failure failure = box.next_failure();
  EXPECT_EQ(failure.step, "fork");
  EXPECT_EQ(failure.error, GetParam().error) << failure.object;
  box.close_control();  // and nothing of it survives the sandbox
  EXPECT_EQ(read_all(zygote.log_err.get()), "");
}

INSTANTIATE_TEST_SUITE_P(Init, InitZygoteHostile,
                         testing::Values(Hostile{"silent", ETIMEDOUT}, Hostile{"short", EPROTO},
                                         Hostile{"long", EPROTO}, Hostile{"closing", ECONNRESET},
                                         Hostile{"itself", ECHILD}, Hostile{"init", ECHILD},
                                         Hostile{"zero", ECHILD}, Hostile{"nobody", ECHILD},
                                         Hostile{"everybody", ECHILD}, Hostile{"errno", EAGAIN},
                                         Hostile{"own-child", ECHILD},
                                         Hostile{"dead-child", ECHILD}),
                         [](const auto& hostile) {
                           std::string name = hostile.param.mode;
                           std::erase(name, '-');
                           return name;
                         });

TEST(InitZygote, ThatDiesWhenAskedIsAFailure) {
  Box box;
  control::Started zygote = box.start("dying", Role::kZygote);
  box.send(control::Fork{});
  Failure failure = box.next_failure();
  EXPECT_EQ(failure.step, "fork");
  EXPECT_TRUE(failure.error == ECONNRESET || failure.error == ECHILD) << failure.error;
}

TEST(InitZygote, HearthdMayGoAwayWhileTheZygoteIsSilent) {
  Box box;
  control::Started zygote = box.start("silent", Role::kZygote);
  auto begin = std::chrono::steady_clock::now();
  box.send(control::Fork{});
  box.close_control();
  EXPECT_EQ(read_all(zygote.log_err.get()), "");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(3));
}

bool one_is_stopped(const Box& box) {
  auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (std::chrono::steady_clock::now() < deadline) {
    for (pid_t pid : box.processes()) {
      std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
      std::string number, name, state;
      if (file >> number >> name >> state && state == "T") return true;
    }
  }
  return false;
}

TEST(InitZygote, StoppedIsNoticedAtRecycle) {
  Box box;
  control::Started zygote = box.start("stopping", Role::kZygote);
  box.send(control::Fork{});
  control::Started child = box.next_started();
  ASSERT_TRUE(one_is_stopped(box));
  box.send(control::Recycle{});
  Failure failure = box.next_failure();
  EXPECT_EQ(failure.step, "scrub");
  EXPECT_EQ(failure.error, ESRCH);
}

TEST(InitZygote, ThatDiedIsStartedAgainByRecycle) {
  Box box;
  control::Started zygote = box.start("late-dying", Role::kZygote);
  box.send(control::Fork{});
  control::Started child = box.next_started();
  EXPECT_EQ(box.next_exited().process, zygote.process);
  box.send(control::Recycle{});
  EXPECT_EQ(box.next_exited().process, child.process);
  control::Started again = box.next_started();
  EXPECT_TRUE(again.zygote);
  EXPECT_FALSE(again.loaded);
  EXPECT_EQ(box.processes().size(), 2u);
}

TEST(InitZygote, WithProcessesOfItsOwnIsRefusedWhereProcShowsThem) {
  for (bool shown : {true, false}) {
    Box box({.show_processes_to_init = shown});
    control::Started zygote = box.start("parent", Role::kZygote);
    box.send(control::Fork{});
    control::Started child = box.next_started();
    box.send(control::Recycle{});
    if (shown) {
      EXPECT_EQ(box.next_failure().error, EBUSY);
    } else {
      EXPECT_TRUE(box.next_started().loaded);
    }
  }
}

TEST(InitZygote, WithoutProcessesOfItsOwnIsFineWhereProcShowsThem) {
  Box box({.show_processes_to_init = true});
  control::Started zygote = box.start("honest", Role::kZygote);
  box.send(control::Fork{});
  control::Started child = box.next_started();
  EXPECT_EQ(tell(child, "see /proc/1/status"), "No such file or directory");
  EXPECT_EQ(tell(child, "see /proc/2/status"), "done");  // the fixture stays dumpable
  box.send(control::Recycle{});
  EXPECT_TRUE(box.next_started().loaded);
}

}  // namespace
}  // namespace hearth::sandbox
