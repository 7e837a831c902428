// SPDX-License-Identifier: Apache-2.0
// hearth-init, run as PID 1 of namespaces of its own, does what control.h says.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "sandbox/spec.h"
#include "sandbox/sys/error.h"
#include "tests/unit/sandbox/init_box.h"

namespace hearth::sandbox {
namespace {

using control::Role;
using control::Stdio;

bool ends(int pidfd) {
  pollfd polled{pidfd, POLLIN, 0};
  return ::poll(&polled, 1, 5000) == 1;
}

TEST(Init, RunsARawProgramFromStdinToStdout) {
  Box box;
  box.send(control::Start{Stdio::kRaw, Role::kServer, {"/usr/bin/cat"}, {}});
  control::Started cat = box.next_started();
  EXPECT_EQ(cat.process, 1u);
  EXPECT_FALSE(cat.zygote);
  EXPECT_FALSE(cat.loaded);
  ASSERT_EQ(::write(cat.in.get(), "body", 4), 4);
  cat.in.reset();
  EXPECT_EQ(read_all(cat.out.get()), "body");
  EXPECT_EQ(read_all(cat.log_err.get()), "");
  control::Exited exited = box.next_exited();
  EXPECT_EQ(exited.process, 1u);
  EXPECT_EQ(exited.wait_status, 0);
}

TEST(Init, ReportsHowAProgramEnded) {
  Box box;
  control::Started first = box.start("serve");
  EXPECT_EQ(tell(first, "exit 7"), "end of file");
  control::Exited exited = box.next_exited();
  EXPECT_EQ(exited.process, first.process);
  EXPECT_EQ(WEXITSTATUS(exited.wait_status), 7);
  control::Started second = box.start("serve");
  EXPECT_EQ(second.process, 2u);
}

TEST(Init, AFramedProgramIsAnUnprivilegedUserAndHasOnlyWhatItWasGiven) {
  Box box;
  control::Started program = box.start("serve");
  EXPECT_EQ(tell(program, "state fds"), "0 1 2 3");
  EXPECT_EQ(tell(program, "state Uid"), "1000\t1000\t1000\t1000");
  EXPECT_EQ(tell(program, "state Gid"), "1000\t1000\t1000\t1000");
  EXPECT_EQ(tell(program, "state Groups"), " ");
  for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"})
    EXPECT_EQ(tell(program, std::string("state ") + set), "0000000000000000") << set;
  EXPECT_EQ(tell(program, "state NoNewPrivs"), "1");
  EXPECT_EQ(tell(program, "state Seccomp"), "2");
  EXPECT_EQ(tell(program, "state Seccomp_filters"), "1");
  EXPECT_EQ(tell(program, "state SigBlk"), "0000000000000000");
  EXPECT_EQ(tell(program, "state SigIgn"), "0000000000000000");
  EXPECT_EQ(tell(program, "state Umask"), "0022");
  EXPECT_EQ(tell(program, "state cwd"), "/var/task");
  EXPECT_EQ(tell(program, "state env"), "GREETING=hello");
  EXPECT_EQ(tell(program, "state pid"), "2");
  EXPECT_EQ(tell(program, "state sid"), "2");
}

TEST(Init, AZygoteHasTheForkSocketAndIsTold) {
  Box box;
  control::Started zygote = box.start("serve", Role::kZygote);
  EXPECT_TRUE(zygote.zygote);
  EXPECT_EQ(tell(zygote, "state fds"), "0 1 2 3 4");
  EXPECT_EQ(tell(zygote, "state env"), "GREETING=hello HEARTH_ROLE=zygote");
}

TEST(Init, LogsComeByTheirOwnPipesAndEndWithTheProcess) {
  Box box;
  control::Started program = box.start("serve");
  EXPECT_EQ(tell(program, "print"), "done");
  EXPECT_EQ(tell(program, "exit 0"), "end of file");
  EXPECT_EQ(read_all(program.log_out.get()), "out");
  EXPECT_EQ(read_all(program.log_err.get()), "err");
}

TEST(Init, OurEndsDoNotBlockWhateverTheProgramSets) {
  Box box;
  control::Started program = box.start("serve");
  EXPECT_EQ(tell(program, "block"), "done");
  for (int fd : {program.in.get(), program.log_out.get(), program.log_err.get()})
    EXPECT_TRUE(::fcntl(fd, F_GETFL) & O_NONBLOCK);
}

TEST(Init, FlagsSetOnStdinDoNotReachTheNextProcess) {
  Box box;
  control::Started program = box.start("serve");
  EXPECT_EQ(tell(program, "state stdin-flags"), "blocks");
  EXPECT_EQ(tell(program, "unblock-stdin"), "done");
  EXPECT_EQ(tell(program, "state stdin-flags"), "does not block");
  box.send(control::Recycle{});
  EXPECT_EQ(tell(box.next_started(), "state stdin-flags"), "blocks");
}

TEST(Init, AProgramThatCannotBeExecutedIsAFailureAndNoProcess) {
  Box box;
  const std::pair<const char*, int> cases[] = {{"/var/task/missing", ENOENT},
                                               {"/var/task/not-executable", EACCES},
                                               {"/var/task", EACCES},
                                               {"/etc/hosts/x", ENOTDIR}};
  for (auto [path, error] : cases) {
    box.send(control::Start{Stdio::kFramed, Role::kServer, {path}, {}});
    Failure failure = box.next_failure();
    EXPECT_EQ(failure.step, "exec");
    EXPECT_EQ(failure.object, path);
    EXPECT_EQ(failure.error, error) << path;
    EXPECT_EQ(box.processes().size(), 1u);
  }
  // It still serves; a failed start is no process, so it has no number.
  EXPECT_EQ(box.start("serve").process, 1u);
}

TEST(Init, RefusesWhatDoesNotFitItsState) {
  Box box;
  box.send(control::Fork{});
  EXPECT_EQ(box.next_failure().error, EINVAL);
  box.send(control::Recycle{});
  EXPECT_EQ(box.next_failure().error, EINVAL);
  box.send(control::Start{Stdio::kRaw, Role::kZygote, {"/var/task/fixture", "x"}, {}});
  EXPECT_EQ(box.next_failure().error, EINVAL);
  control::Started program = box.start("serve");
  EXPECT_THROW(box.start("serve"), sys::Error);
  box.send(control::Fork{});
  EXPECT_EQ(box.next_failure().error, EINVAL);
}

TEST(Init, AMalformedRequestEndsTheSandbox) {
  Box box;
  ASSERT_EQ(::send(box.control(), "\xff", 1, 0), 1);
  EXPECT_EQ(box.next_failure().error, EPROTO);
  EXPECT_TRUE(ends(box.pidfd()));
}

TEST(Init, ClosingTheControlSocketKillsEverything) {
  for (const char* mode : {"serve", "bomb"}) {
    Box box;
    control::Started program = box.start("serve");
    EXPECT_EQ(tell(program, "orphan"), "done");
    if (std::string(mode) == "bomb") {
      EXPECT_EQ(tell(program, "bomb"), "done");
    }
    EXPECT_GE(box.processes().size(), 3u);
    box.close_control();
    EXPECT_TRUE(ends(box.pidfd()));
    EXPECT_EQ(read_all(program.log_err.get()), "");  // nobody holds the other end
  }
}

TEST(Init, ProbeTellsHowFullTmpIs) {
  Box box;
  control::Started program = box.start("serve");
  box.send(control::Probe{});
  control::Probed before = std::get<control::Probed>(box.next());
  EXPECT_EQ(before.tmp_bytes, 64u << 20);
  EXPECT_EQ(tell(program, "write 1000"), "done");
  box.send(control::Probe{});
  control::Probed after = std::get<control::Probed>(box.next());
  EXPECT_EQ(after.tmp_bytes_used - before.tmp_bytes_used, 1000u << 10);
}

TEST(Init, RecycleStartsTheTemplateAgainWithEverythingNew) {
  Box box;
  control::Started first = box.start("serve");
  box.send(control::Recycle{});
  EXPECT_EQ(WTERMSIG(box.next_exited().wait_status), SIGKILL);
  control::Started second = box.next_started();
  EXPECT_EQ(second.process, 2u);
  EXPECT_FALSE(second.loaded);
  EXPECT_EQ(tell(second, "state env"), "GREETING=hello");
  EXPECT_EQ(read_all(first.log_err.get()), "");
  EXPECT_EQ(box.processes().size(), 2u);
}

// A process that is traced from outside can be killed, but not be reaped before its tracer has.
TEST(Init, ProcessesThatDoNotEndAreAFailureInTime) {
  Box box;
  control::Started program = box.start("serve");
  std::vector<pid_t> traced = box.processes();
  std::erase(traced, box.init());
  ASSERT_EQ(traced.size(), 1u);
  ASSERT_EQ(::ptrace(PTRACE_SEIZE, traced[0], nullptr, nullptr), 0);
  auto begin = std::chrono::steady_clock::now();
  box.send(control::Recycle{});
  Failure failure = box.next_failure();
  EXPECT_EQ(failure.step, "scrub");
  EXPECT_EQ(failure.error, ETIMEDOUT);
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(200));
  EXPECT_EQ(::waitpid(traced[0], nullptr, __WALL), traced[0]);  // or the sandbox could not end
}

class InitRecycles : public testing::TestWithParam<Role> {
 protected:
  // The process that serves calls: a server, or a parked child of an honest zygote.
  control::Started begin(Box& box) {
    if (GetParam() == Role::kServer) return box.start("serve");
    zygote_ = box.start("honest", Role::kZygote);
    box.send(control::Fork{});
    return box.next_started();
  }
  size_t processes_between_calls() const { return GetParam() == Role::kServer ? 2 : 3; }
  control::Started zygote_;
};

TEST_P(InitRecycles, AndNothingIsLeftOfFilesByTheThousand) {
  Box box;
  control::Started program = begin(box);
  EXPECT_EQ(tell(program, "fill 10000"), "done");
  EXPECT_EQ(tell(program, "fill-shm 2000"), "done");
  box.send(control::Recycle{});
  EXPECT_EQ(box.next_exited().process, program.process);
  program = box.next_started();
  EXPECT_EQ(program.loaded, GetParam() == Role::kZygote);
  EXPECT_EQ(tell(program, "see /tmp/1"), "No such file or directory");
  EXPECT_EQ(tell(program, "fill 1"), "done");
}

TEST_P(InitRecycles, AndNothingIsLeftOfDeepTrees) {
  Box box;
  control::Started program = begin(box);
  EXPECT_EQ(tell(program, "deep 5000"), "done");
  box.send(control::Recycle{});
  program = box.next_started();
  EXPECT_EQ(tell(program, "see /tmp/d"), "No such file or directory");
}

TEST_P(InitRecycles, AndNothingIsLeftOfAwkwardFiles) {
  Box box;
  control::Started program = begin(box);
  EXPECT_EQ(tell(program, "awkward /tmp"), "done");
  EXPECT_EQ(tell(program, "awkward /dev/shm"), "done");
  EXPECT_EQ(tell(program, "see /tmp/sticky"), "done");
  box.send(control::Recycle{});
  program = box.next_started();
  box.send(control::Probe{});
  EXPECT_EQ(std::get<control::Probed>(box.next()).tmp_bytes_used, 0u);
  EXPECT_EQ(tell(program, "see /tmp/sticky"), "No such file or directory");
  EXPECT_EQ(tell(program, "see /var/task/fixture"), "done");  // links were not followed
  EXPECT_EQ(tell(program, "awkward /tmp"), "done");           // and all of it again
}

TEST_P(InitRecycles, TheRootsShowNothingOfTheCallBefore) {
  Box box;
  control::Started program = begin(box);
  EXPECT_EQ(tell(program, "fill 1"), "done");
  box.send(control::Recycle{});
  program = box.next_started();
  for (const char* path : {"/tmp", "/dev/shm"}) {
    struct stat status;
    std::string outside = "/proc/" + std::to_string(box.init()) + "/root" + path;
    ASSERT_EQ(::stat(outside.c_str(), &status), 0);
    EXPECT_EQ(status.st_mtime, 0);
    EXPECT_EQ(status.st_mode & 07777, 01777u);
  }
}

TEST_P(InitRecycles, AndNoProcessIsLeft) {
  Box box;
  control::Started program = begin(box);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(tell(program, "orphan"), "done");
  EXPECT_EQ(box.processes().size(), processes_between_calls() + 10);
  box.send(control::Recycle{});
  program = box.next_started();
  EXPECT_EQ(box.processes().size(), processes_between_calls());
}

// Either they are all dead in time, or the sandbox is given up: never a new process beside them.
TEST_P(InitRecycles, OrFailsInTimeUnderAForkBomb) {
  Box box;
  control::Started program = begin(box);
  int recycled = 0;
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(tell(program, "bomb"), "done");
    box.send(control::Recycle{});
    try {
      program = box.next_started();
    } catch (const sys::Error& error) {
      EXPECT_EQ(error.code(), ETIMEDOUT);
      break;
    }
    ++recycled;
    EXPECT_EQ(box.processes().size(), processes_between_calls());
  }
  // How often is a matter of the host's load; that it can be done at all is not.
  if (GetParam() == Role::kServer) {
    EXPECT_GE(recycled, 1);
  }
  RecordProperty("recycled", recycled);
}

TEST_P(InitRecycles, AHundredTimes) {
  Box box;
  control::Started program = begin(box);
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(tell(program, "fill 3"), "done");
    if (i % 2 == 0) {
      EXPECT_EQ(tell(program, "exit 0"), "end of file");
    }
    uint32_t before = program.process;
    box.send(control::Recycle{});
    EXPECT_EQ(box.next_exited().process, before);
    program = box.next_started();
    EXPECT_EQ(program.process, before + 1);
  }
}

INSTANTIATE_TEST_SUITE_P(Init, InitRecycles, testing::Values(Role::kServer, Role::kZygote),
                         [](const auto& role) {
                           return role.param == Role::kServer ? "Server" : "Zygote";
                         });

}  // namespace
}  // namespace hearth::sandbox
