// SPDX-License-Identifier: Apache-2.0
// More of what a taken-over hearthd can try on the spawner, beside spawner_hostile_test.cc: it ends
// with no privilege gained.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "sandbox/sys/error.h"
#include "sandbox/wire.h"
#include "tests/integration/sandbox_support.h"

namespace hearth::sandbox::test {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

constexpr uid_t kHearthd = 64999;  // whom the test's state folder belongs to
constexpr int kRoundsMax = 2000;   // of a race that did not show both of its ends yet

class AttackTest : public SandboxTest {
 protected:
  wire::RequestBytes request(const Spec& wanted) {
    return wire::encode(wire::Request(wire::Create{wanted}));
  }
  // `bytes` with the text `field` overwritten, NUL-padded over what was there.
  void put(wire::RequestBytes& bytes, std::string_view field, std::string_view text) {
    std::string_view all(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    size_t at = all.find(field);
    ASSERT_NE(at, std::string_view::npos) << field;
    std::memset(bytes.data() + at, 0, field.size());
    std::memcpy(bytes.data() + at, text.data(), text.size());
  }
  void send(const wire::RequestBytes& bytes) {
    ASSERT_EQ(::send(client->fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
              ssize_t(bytes.size()));
  }
  void expect_end(const Created& created) {
    EXPECT_TRUE(dead_within(created.descriptors.pidfd.get(), milliseconds(5000)));
    EXPECT_THROW((void)wait_answer(), sys::Error);
  }
};

// What `attempt` returns in a process that is `user`: 0, or the error.
template <typename Attempt>
int outcome_as(uid_t user, Attempt attempt) {
  pid_t pid = ::fork();
  if (pid == 0) {
    if (::setresgid(user, user, user) < 0 || ::setresuid(user, user, user) < 0) ::_exit(255);
    ::_exit(attempt() < 0 ? errno : 0);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(pid, &status, 0), pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST_F(AttackTest, CannotNameWhatIsNoName) {
  start();
  const Spec good = spec();
  const char* const evil[] = {"..",  ".",   "/",    "a/b", "../x", "/etc", "A",
                              "a b", "a\n", "\xff", "a.b", "*",    "a\\b", "%2e"};
  for (const char* text : evil) {
    for (const char* field : {"acme", "host"}) {
      wire::RequestBytes bytes = request(good);
      put(bytes, field, text);
      send(bytes);
      EXPECT_EQ(expect_refusal(good.id).error, EINVAL) << field << " " << text;
    }
    wire::RequestBytes bytes = request(good);
    put(bytes, kBundle, text);
    send(bytes);
    EXPECT_EQ(expect_refusal(good.id).error, EINVAL) << "bundle " << text;
  }
  // Letters that other tools take for a hash, and one too few.
  for (std::string hash : {std::string(64, 'A'), std::string(64, 'g'), std::string(63, 'a')}) {
    wire::RequestBytes bytes = request(good);
    put(bytes, kBundle, hash);
    send(bytes);
    EXPECT_EQ(expect_refusal(good.id).error, EINVAL) << hash;
  }
  kill_and_remove(create(good));  // the twin: the same bytes unchanged
}

TEST_F(AttackTest, LosesTheConnectionByAnEmptyMessage) {
  start();
  Created created = create(spec());
  ASSERT_EQ(::send(client->fd(), "", 0, MSG_NOSIGNAL), 0);
  expect_end(created);
}

TEST_F(AttackTest, LosesTheConnectionByManyDescriptors) {
  start();
  Created created = create(spec());
  wire::RequestBytes bytes = request(spec());
  iovec part{bytes.data(), bytes.size()};
  std::vector<int> files(253, ::open("/dev/null", O_RDONLY | O_CLOEXEC));
  std::vector<char> ancillary(CMSG_SPACE(files.size() * sizeof(int)));
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = ancillary.data();
  message.msg_controllen = ancillary.size();
  cmsghdr* rights = CMSG_FIRSTHDR(&message);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(files.size() * sizeof(int));
  std::memcpy(CMSG_DATA(rights), files.data(), files.size() * sizeof(int));
  ASSERT_EQ(::sendmsg(client->fd(), &message, 0), ssize_t(bytes.size()));
  ::close(files[0]);
  expect_end(created);
}

TEST_F(AttackTest, LosesTheConnectionByAKindThatIsNone) {
  for (size_t at : {0, 1, 2, 3}) {
    start();
    Created created = create(spec());
    wire::RequestBytes bytes = request(spec());
    bytes[at] = std::byte{0xee};
    send(bytes);
    expect_end(created);
    stop();
  }
}

// A message is worth what it says when it comes: after the sandbox it is about, nothing.
TEST_F(AttackTest, GainsNothingByReplay) {
  start();
  Spec wanted = spec();
  Created first = create(wanted);
  std::string map = read_text(fmt::format("/proc/{}/uid_map", first.init_host_pid));
  wire::RequestBytes bytes = request(wanted);
  for (int i = 0; i < 20; ++i) {
    send(bytes);
    EXPECT_EQ(expect_refusal(wanted.id).error, EEXIST);
  }
  kill_and_remove(first);
  client->remove(wanted.id);
  EXPECT_EQ(expect_refusal(wanted.id).error, ENOENT);
  client->specialise(wanted.id, kBundle, Limits{}, "f");
  EXPECT_EQ(expect_refusal(wanted.id).error, ENOENT);
  EXPECT_TRUE(dead_within(first.descriptors.pidfd.get(), milliseconds(0)));
}

TEST_F(AttackTest, CannotPruneOrPurgeWhatLives) {
  start();
  Created created = create(spec());
  client->prune(900, "acme", "f");
  EXPECT_EQ(expect_refusal(900).error, EBUSY);
  client->prune(901, "acme", "");
  EXPECT_NE(expect_refusal(901).error, 0);
  client->purge(902);
  expect_done(902);
  EXPECT_EQ(run(created, "echo alive").text, "alive\n");
  EXPECT_TRUE(exists(group(spec()).substr(0, group(spec()).rfind('/'))));
  kill_and_remove(created);
}

// The bundle's folder is one moment a folder and the next a link to the host's: whenever the
// spawner looks, it takes the folder or nothing.
TEST_F(AttackTest, GetsNothingOfTheHostBySwappingABundle) {
  std::string place = state + "/bundles/" + kBundle, link = state + "/link";
  fs::create_directory_symlink("/etc", link);
  start();
  std::atomic<bool> done{false};
  std::thread swapper([&] {
    while (!done) ::renameat2(AT_FDCWD, link.c_str(), AT_FDCWD, place.c_str(), RENAME_EXCHANGE);
  });
  int made = 0, refused = 0;
  for (int i = 0; i < 150; ++i) {
    Spec wanted = spec();
    client->create(wanted);
    Answer answer = wait_answer();
    if (auto* no = std::get_if<Refused>(&answer)) {
      EXPECT_EQ(no->failure.error, ELOOP) << no->failure.step;
      ++refused;
      continue;
    }
    Created created = std::move(std::get<Created>(answer));
    if (report_of(created).step.empty()) {
      ++made;
      EXPECT_NE(run(created, "cat /var/task/passwd").status, 0);
      EXPECT_EQ(run(created, "ls /var/task").text, "app.py\n");
    }
    kill_and_remove(created);
  }
  done = true;
  swapper.join();
  // Both were met, or nothing was shown.
  EXPECT_GT(made, 0);
  EXPECT_GT(refused, 0);
}

// The same where a generic sandbox gets its code.
TEST_F(AttackTest, GetsNothingOfTheHostBySwappingABundleBeforeSpecialise) {
  std::string place = state + "/bundles/" + kBundle, link = state + "/link";
  fs::create_directory_symlink("/etc", link);
  start();
  std::jthread swapper([&](std::stop_token end) {
    while (!end.stop_requested())
      ::renameat2(AT_FDCWD, link.c_str(), AT_FDCWD, place.c_str(), RENAME_EXCHANGE);
  });
  int made = 0, refused = 0;
  for (int round = 0; round < 100 || (round < kRoundsMax && (made == 0 || refused == 0)); ++round) {
    Created created = create(spec(""));
    client->specialise(created.id, kBundle, Limits{}, "f");
    Answer answer = wait_answer();
    if (auto* no = std::get_if<Refused>(&answer)) {
      EXPECT_EQ(no->failure.error, ELOOP) << no->failure.step;
      EXPECT_EQ(run(created, "ls /var/task").text, "");
      ++refused;
    } else {
      EXPECT_NE(run(created, "cat /var/task/passwd").status, 0);
      EXPECT_EQ(run(created, "ls /var/task").text, "app.py\n");
      ++made;
    }
    kill_and_remove(created);
  }
  EXPECT_GT(made, 0);
  EXPECT_GT(refused, 0);
}

// An image that hearthd could put there: programs that run as root, and a device.
TEST_F(AttackTest, GetsNothingFromSetuidFilesAndDevicesInAnImage) {
  fs::path rootfs = make_image("evil");
  ASSERT_EQ(::chmod((rootfs / "bin/busybox").c_str(), 06755), 0);
  ASSERT_EQ(::mknod((rootfs / "zero").c_str(), S_IFCHR | 0666, makedev(1, 5)), 0);
  // The twin: where setuid is honoured, it is root for anybody. The state folder is closed to them.
  std::string twin = state + "-twin";
  fs::copy_file("/usr/bin/id", twin);
  ASSERT_EQ(::chmod(twin.c_str(), 04755), 0);
  std::string test = "[ $(" + twin + " -u) = 0 ]";
  auto ask = [&] { return ::execl("/bin/sh", "sh", "-c", test.c_str(), nullptr); };
  EXPECT_EQ(outcome_as(kHearthd, ask), 0);
  fs::remove(twin);
  start();
  Spec wanted = spec();
  wanted.image = "evil";
  Created created = create(wanted);
  EXPECT_EQ(run(created, "busybox id -u").text, "1000\n");
  EXPECT_EQ(run(created, "busybox head -c 1 /dev/zero | busybox wc -c").text, "1\n");
  EXPECT_NE(run(created, "busybox head -c 1 /zero").status, 0);
  EXPECT_NE(run(created, "busybox head -c 1 /zero", 'r').status, 0);
  EXPECT_NE(run(created, "echo > /planted", 'r').status, 0);
  kill_and_remove(created);
}

// The descriptors that come with an answer read a sandbox's counters and kill it. Nothing else.
TEST_F(AttackTest, CannotDoMoreWithTheDescriptorsThatItGets) {
  start();
  Created created = create(spec());
  Descriptors& got = created.descriptors;
  for (sys::Fd* fd : {&got.cgroup_events, &got.cgroup_procs, &got.cpu_stat}) {
    EXPECT_EQ(::write(fd->get(), "1", 1), -1);
    EXPECT_EQ(errno, EBADF);
    EXPECT_EQ(::openat(fd->get(), "..", O_RDONLY), -1);
    EXPECT_EQ(errno, ENOTDIR);
    std::string link = fmt::format("/proc/self/fd/{}", fd->get());
    auto reopen = [&] { return ::open(link.c_str(), O_WRONLY); };
    EXPECT_EQ(outcome_as(kHearthd, reopen), EACCES) << fs::read_symlink(link);
  }
  char byte = 0;
  EXPECT_EQ(::read(got.cgroup_kill.get(), &byte, 1), -1);
  // Not even its own namespaces: hearthd holds the pidfd, and has no capability over it.
  auto enter = [&] { return ::setns(got.pidfd.get(), CLONE_NEWNS | CLONE_NEWPID); };
  EXPECT_EQ(outcome_as(kHearthd, enter), EPERM);
  EXPECT_EQ(outcome_as(0, enter), 0);
  kill_and_remove(created);
}

// The spawner is root's: whoever is hearthd's user may not touch it.
TEST_F(AttackTest, CannotTouchTheSpawnersProcess) {
  start();
  int32_t pid = client->pid();
  std::string folder = fmt::format("/proc/{}", pid);
  auto open_memory = [&] { return ::open((folder + "/mem").c_str(), O_RDWR); };
  auto see_root = [&] { return ::open((folder + "/root/state").c_str(), O_RDONLY); };
  auto trace = [&] { return int(::ptrace(PTRACE_SEIZE, pid, nullptr, nullptr)); };
  auto signal = [&] { return ::kill(pid, SIGCONT); };
  EXPECT_EQ(outcome_as(kHearthd, open_memory), EACCES);
  EXPECT_EQ(outcome_as(kHearthd, see_root), EACCES);
  EXPECT_EQ(outcome_as(kHearthd, trace), EPERM);
  EXPECT_EQ(outcome_as(kHearthd, signal), EPERM);
  EXPECT_EQ(outcome_as(0, open_memory), 0);
  EXPECT_EQ(outcome_as(0, see_root), 0);
  EXPECT_EQ(outcome_as(0, trace), 0);
  EXPECT_EQ(outcome_as(0, signal), 0);
  kill_and_remove(create(spec()));
}

TEST_F(AttackTest, GetsNoLimitThatIsNone) {
  policy.limits_max.io_bytes_per_s = 50u << 20;
  start();
  using Change = void (*)(Limits&);
  const Change changes[] = {[](Limits& l) { l.memory_bytes = UINT64_MAX; },
                            [](Limits& l) { l.processes_max = UINT32_MAX; },
                            [](Limits& l) { l.cpu_percent = UINT32_MAX; },
                            [](Limits& l) { l.tmp_bytes = UINT64_MAX; },
                            [](Limits& l) { l.open_files_max = UINT32_MAX; },
                            [](Limits& l) { l.file_bytes_max = UINT64_MAX; },
                            [](Limits& l) { l.memory_bytes = 0; },
                            [](Limits& l) { l.cpu_percent = 0; },
                            [](Limits& l) { l.processes_max = 0; },
                            [](Limits& l) { l.tmp_bytes = 0; },
                            [](Limits& l) { l.io_bytes_per_s = 0; },
                            [](Limits& l) { l.io_reads_per_s = 1; }};
  for (Change change : changes) {
    Spec wanted = spec();
    wanted.limits = policy.limits_max;
    change(wanted.limits);
    EXPECT_EQ(refused(wanted).error, ERANGE) << &change - changes;
  }
  Spec good = spec();
  good.limits = policy.limits_max;
  kill_and_remove(create(good));
}

}  // namespace
}  // namespace hearth::sandbox::test
