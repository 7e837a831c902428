// SPDX-License-Identifier: Apache-2.0
// What a taken-over hearthd can try on the spawner. It owns the state folder and the connection.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "sandbox/sys/error.h"
#include "sandbox/wire.h"
#include "tests/integration/sandbox_support.h"

namespace hearth::sandbox::test {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

class HostileTest : public SandboxTest {
 protected:
  void send_raw(const void* bytes, size_t size) {
    ASSERT_EQ(::send(client->fd(), bytes, size, MSG_NOSIGNAL), ssize_t(size));
  }
  // The connection ends, and with it every sandbox.
  void expect_end(const Created& created) {
    EXPECT_TRUE(dead_within(created.descriptors.pidfd.get(), milliseconds(5000)));
    EXPECT_THROW((void)wait_answer(), sys::Error);
  }
  wire::RequestBytes request(const Spec& wanted) {
    return wire::encode(wire::Request(wire::Create{wanted}));
  }
};

TEST_F(HostileTest, GetsNoImageByALink) {
  fs::create_directories(state + "/images/evil");
  fs::create_directory_symlink("/", state + "/images/evil/rootfs");
  fs::create_directory_symlink("/", state + "/images/direct");
  fs::create_directories(state + "/images/up");
  fs::create_directory_symlink("../../..", state + "/images/up/rootfs");
  start();
  for (const char* image : {"evil", "direct", "up"}) {
    Spec wanted = spec();
    wanted.image = image;
    Failure failure = refused(wanted);
    EXPECT_EQ(failure.step, "openat2") << image;
    EXPECT_TRUE(failure.error == ELOOP || failure.error == EXDEV) << image << failure.error;
  }
}

TEST_F(HostileTest, GetsNoMountPointByALink) {
  const char* const points[] = {"proc", "dev", "tmp", "var", "var/task", "var/runtime"};
  for (size_t i = 0; i < std::size(points); ++i) {
    fs::path point = make_image(fmt::format("evil-{}", i)) / points[i];
    fs::remove_all(point);
    fs::create_directory_symlink("/state", point);
  }
  start();
  for (size_t i = 0; i < std::size(points); ++i) {
    Spec wanted = spec();
    wanted.image = fmt::format("evil-{}", i);
    Failure failure = refused(wanted);
    EXPECT_EQ(failure.step, "openat2") << points[i];
    EXPECT_EQ(failure.error, ELOOP) << points[i];
  }
  make_image("good");
  Spec wanted = spec();
  wanted.image = "good";
  kill_and_remove(create(wanted));
}

TEST_F(HostileTest, GetsNoBundleByALink) {
  std::string other(64, 'b');
  fs::create_directory_symlink("/etc", state + "/bundles/" + other);
  start();
  Spec wanted = spec();
  wanted.bundle = other;
  EXPECT_EQ(refused(wanted).error, ELOOP);
  wanted.bundle = std::string(64, 'c');
  EXPECT_EQ(refused(wanted).error, ENOENT);
  fs::rename(state + "/bundles", state + "/elsewhere");
  fs::create_directory_symlink("/etc", state + "/bundles");
  wanted.bundle = kBundle;
  EXPECT_EQ(refused(wanted).error, ELOOP);
}

// The folder is hearthd's: it can put anything in it, and it stays inert.
TEST_F(HostileTest, GetsNothingFromSetuidFilesAndDevicesInABundle) {
  fs::path bundle = state + "/bundles/" + kBundle;
  fs::copy_file("/usr/bin/id", bundle / "id");
  ASSERT_EQ(::chmod((bundle / "id").c_str(), 04755), 0);
  ASSERT_EQ(::mknod((bundle / "zero").c_str(), S_IFCHR | 0666, makedev(1, 5)), 0);
  start();
  Created created = create(spec());
  EXPECT_EQ(run(created, "/var/task/id -u").text, "1000\n");
  EXPECT_EQ(run(created, "head -c 1 /dev/zero | wc -c").text, "1\n");
  EXPECT_NE(run(created, "head -c 1 /var/task/zero").status, 0);
  EXPECT_NE(run(created, "head -c 1 /var/task/zero", 'r').status, 0);
  kill_and_remove(created);
}

TEST_F(HostileTest, GetsNoHostImageUnlessThePolicySaysSo) {
  policy.host_image = false;
  start();
  Failure failure = refused(spec());
  EXPECT_EQ(failure.step, "use image");
  EXPECT_EQ(failure.error, EPERM);
}

TEST_F(HostileTest, GetsNoLimitAboveTheMaximum) {
  start();
  using Change = void (*)(Limits&);
  const Change changes[] = {
      [](Limits& l) { ++l.memory_bytes; },   [](Limits& l) { ++l.processes_max; },
      [](Limits& l) { ++l.cpu_percent; },    [](Limits& l) { ++l.tmp_bytes; },
      [](Limits& l) { ++l.open_files_max; }, [](Limits& l) { ++l.file_bytes_max; },
      [](Limits& l) { l.tmp_bytes = 0; }};
  Created generic = create(spec(""));
  for (Change change : changes) {
    Spec wanted = spec();
    change(wanted.limits);
    EXPECT_EQ(refused(wanted).error, ERANGE);
    client->specialise(generic.id, kBundle, wanted.limits, "f");
    EXPECT_EQ(expect_refusal(generic.id).error, ERANGE);
  }
  kill_and_remove(generic);
}

TEST_F(HostileTest, GetsNoReadingAboveTheMaximumAndNoneWithoutALimit) {
  policy.limits_max.io_bytes_per_s = 8u << 20;
  policy.limits_max.io_reads_per_s = 500;
  start();
  using Change = void (*)(Limits&);
  const Change changes[] = {
      [](Limits& l) { ++l.io_bytes_per_s; }, [](Limits& l) { l.io_bytes_per_s = 0; },
      [](Limits& l) { ++l.io_reads_per_s; }, [](Limits& l) { l.io_reads_per_s = 0; },
      [](Limits& l) { l.io_reads_per_s = 1; }};
  Spec wanted = spec();
  for (Change change : changes) {
    wanted.limits = policy.limits_max;
    change(wanted.limits);
    EXPECT_EQ(refused(wanted).error, ERANGE) << &change - changes;
  }
  wanted.limits = policy.limits_max;
  kill_and_remove(create(wanted));
}

TEST_F(HostileTest, KillsNothingButItsOwnSandboxes) {
  start();
  Created first = create(spec()), second = create(spec());
  client->kill(12345);  // nobody's
  client->kill(first.id);
  client->kill(first.id);
  EXPECT_TRUE(dead_within(first.descriptors.pidfd.get(), milliseconds(5000)));
  // No answer to any of them is in the way of this one.
  client->remove(first.id);
  EXPECT_EQ(std::get<Done>(wait_answer()).id, first.id);
  EXPECT_FALSE(dead_within(second.descriptors.pidfd.get(), milliseconds(100)));
  kill_and_remove(second);
}

TEST_F(HostileTest, GetsNoMoreSandboxesThanBlocksOfIds) {
  policy.subid_blocks = 3;
  start();
  std::vector<Created> all;
  for (int i = 0; i < 3; ++i) all.push_back(create(spec()));
  Failure failure = refused(spec());
  EXPECT_EQ(failure.step, "take a block of ids");
  EXPECT_EQ(failure.error, EAGAIN);
  kill_and_remove(all.back());
  all.back() = create(spec());
  for (Created& created : all) kill_and_remove(created);
}

TEST_F(HostileTest, CannotUseAnIdTwice) {
  start();
  Spec wanted = spec();
  Created created = create(wanted);
  EXPECT_EQ(refused(wanted).error, EEXIST);
  wanted.tenant = "other";
  EXPECT_EQ(refused(wanted).error, EEXIST);
  EXPECT_EQ(run(created, "echo alive").text, "alive\n");
  kill_and_remove(created);
  client->remove(wanted.id);
  EXPECT_EQ(expect_refusal(wanted.id).error, ENOENT);
}

TEST_F(HostileTest, CannotTakeOverACgroupOfAnEarlierRun) {
  Spec wanted = spec();
  fs::create_directories(group(wanted));
  start();
  Failure failure = refused(wanted);
  EXPECT_EQ(failure.step, "mkdir cgroup");
  EXPECT_EQ(failure.error, EEXIST);
  EXPECT_TRUE(exists(group(wanted)));
}

TEST_F(HostileTest, CannotNameSandboxesThatAreNotThere) {
  start();
  client->remove(4711);
  EXPECT_EQ(expect_refusal(4711).error, ENOENT);
  client->specialise(4712, kBundle, Limits{}, "f");
  EXPECT_EQ(expect_refusal(4712).error, ENOENT);
  Created created = create(spec());
  client->specialise(created.id, kBundle, Limits{}, "f");  // not generic
  EXPECT_EQ(expect_refusal(created.id).error, EALREADY);
  kill_and_remove(created);
}

TEST_F(HostileTest, IsToldWhichFieldIsMalformed) {
  start();
  wire::RequestBytes bytes = request(spec());
  std::memcpy(bytes.data() + 16, "..", 3);
  send_raw(bytes.data(), bytes.size());
  Failure failure = expect_refusal(next_id - 1);
  EXPECT_EQ(failure.step, "check request");
  EXPECT_EQ(failure.object, "tenant");
  EXPECT_EQ(failure.error, EINVAL);
  kill_and_remove(create(spec()));  // and may go on
}

TEST_F(HostileTest, LosesTheConnectionByATruncatedMessage) {
  start();
  Created created = create(spec());
  wire::RequestBytes bytes = request(spec());
  send_raw(bytes.data(), bytes.size() - 1);
  expect_end(created);
}

TEST_F(HostileTest, LosesTheConnectionByAnOversizedMessage) {
  start();
  Created created = create(spec());
  std::vector<char> bytes(wire::kRequestBytes + 1);
  wire::RequestBytes good = request(spec());
  std::memcpy(bytes.data(), good.data(), good.size());
  send_raw(bytes.data(), bytes.size());
  expect_end(created);
}

TEST_F(HostileTest, LosesTheConnectionByGarbage) {
  start();
  Created created = create(spec());
  std::vector<unsigned char> bytes(wire::kRequestBytes, 0xff);
  send_raw(bytes.data(), bytes.size());
  expect_end(created);
}

TEST_F(HostileTest, LosesTheConnectionByPassingDescriptors) {
  start();
  Created created = create(spec());
  wire::RequestBytes bytes = request(spec());
  iovec part{bytes.data(), bytes.size()};
  alignas(cmsghdr) char ancillary[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = ancillary;
  message.msg_controllen = sizeof ancillary;
  cmsghdr* rights = CMSG_FIRSTHDR(&message);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof(int));
  int root = ::open("/", O_PATH);
  std::memcpy(CMSG_DATA(rights), &root, sizeof root);
  ASSERT_EQ(::sendmsg(client->fd(), &message, 0), ssize_t(bytes.size()));
  ::close(root);
  expect_end(created);
}

TEST_F(HostileTest, CannotStopTheSpawnerByNotReading) {
  start();
  Created created = create(spec());
  int32_t pid = client->pid();
  // Far more refusals than the socket holds, read by nobody.
  for (int i = 0; i < 5000; ++i) client->remove(1'000'000 + i);
  EXPECT_TRUE(client->wants_write());
  stop();
  EXPECT_FALSE(exists(fmt::format("/proc/{}", pid)));
  EXPECT_TRUE(dead_within(created.descriptors.pidfd.get(), milliseconds(0)));
}

TEST_F(HostileTest, KeepsTheOrderOfWhatTheSocketDidNotTake) {
  start();
  constexpr uint64_t kFirst = 1'000'000, kCount = 3000;
  for (uint64_t i = 0; i < kCount; ++i) client->remove(kFirst + i);
  ASSERT_TRUE(client->wants_write());
  for (uint64_t i = 0; i < kCount; ++i) {
    EXPECT_EQ(expect_refusal(kFirst + i).error, ENOENT);
    if (client->wants_write()) client->flush();
  }
  EXPECT_FALSE(client->wants_write());
}

TEST_F(HostileTest, CannotWriteThroughTheSpawnersStage) {
  start();
  Created created = create(spec());
  std::string root = fmt::format("/proc/{}/root", client->pid());
  for (const char* folder : {"/state", "/runtimes", "/dev", "/images/host", "/images/host/usr"}) {
    ASSERT_TRUE(exists(root + folder)) << folder;
    int fd = ::open((root + folder + "/planted").c_str(), O_CREAT | O_WRONLY, 0600);
    EXPECT_EQ(fd, -1) << folder;
    EXPECT_EQ(errno, EROFS) << folder;
  }
  kill_and_remove(created);
}

}  // namespace
}  // namespace hearth::sandbox::test
