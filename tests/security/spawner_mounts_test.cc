// SPDX-License-Identifier: Apache-2.0
// The folders of an image are hearthd's, and the spawner mounts on some of them: a taken-over
// hearthd puts a link in their place when they have been looked at.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "tests/integration/sandbox_support.h"

namespace hearth::sandbox::test {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFolders[] = {"var", "dev", "proc", "tmp"};
constexpr int kRounds = 60;
constexpr int kRoundsMax = 2000;  // of a race that did not show both of its ends yet

sys::Fd open_folder(const fs::path& path) {
  return sys::Fd(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
}

class MountsTest : public SandboxTest {
 protected:
  void SetUp() override {
    SandboxTest::SetUp();
    if (IsSkipped()) return;
    // Where links lead: everything that a mount needs is there.
    for (const char* folder : {"task", "runtime", "shm"}) {
      fs::create_directories(state + "/outside/" + folder);
    }
  }
  Spec evil(const std::string& function = "f") {
    Spec wanted = spec(function);
    wanted.image = "evil";
    return wanted;
  }
  // What is mounted in the state folder as the spawner sees it.
  size_t mounted_outside() {
    std::ifstream mounts(fmt::format("/proc/{}/mountinfo", client->pid()));
    size_t found = 0;
    for (std::string line; std::getline(mounts, line);) {
      found += line.find(" /state/") != std::string::npos;
    }
    return found;
  }
  size_t mounts_in(const Created& created) {
    return lines(fmt::format("/proc/{}/mountinfo", created.init_host_pid));
  }
};

// `folder` as a link to `target` while this lives.
class Swapped {
 public:
  Swapped(const fs::path& folder, const char* target)
      : folder_(folder), aside_(folder.parent_path() / "aside") {
    fs::rename(folder_, aside_);
    fs::create_directory_symlink(target, folder_);
  }
  ~Swapped() {
    fs::remove(folder_);
    fs::rename(aside_, folder_);
  }

 private:
  fs::path folder_, aside_;
};

// No race is needed: an image is put together once, and its folders stay hearthd's.
TEST_F(MountsTest, GetsNothingMountedByALinkInAKnownImage) {
  fs::path rootfs = make_image("evil");
  start();
  kill_and_remove(create(evil()));
  for (const char* folder : kFolders) {
    Swapped link(rootfs / folder, "/state/outside");
    Failure failure = failed(evil());
    EXPECT_TRUE(failure.step.starts_with("mount /")) << folder << ": " << failure.step;
    EXPECT_EQ(failure.error, ELOOP) << folder;
    EXPECT_EQ(mounted_outside(), 0u) << folder;
  }
  kill_and_remove(create(evil()));
}

TEST_F(MountsTest, GetsNothingMountedByALinkBeforeSpecialise) {
  fs::path rootfs = make_image("evil");
  start();
  struct Way {
    const char *folder, *target, *step;
  };
  const Way ways[] = {{"var", "/aside", "attach the code"},
                      {"tmp", "/dev/shm", "resize /tmp"},
                      {"dev", "/aside", "resize /dev/shm"}};
  for (const Way& way : ways) {
    Created created = create(evil(""));
    {
      Swapped link(rootfs / way.folder, way.target);
      client->specialise(created.id, kBundle, Limits{}, "f");
      Failure failure = expect_refusal(created.id);
      EXPECT_EQ(failure.step, way.step) << way.folder;
      EXPECT_EQ(failure.error, ELOOP) << way.folder;
    }
    kill_and_remove(created);
  }
  Created created = create(evil(""));
  client->specialise(created.id, kBundle, Limits{}, "f");
  expect_done(created.id);
  EXPECT_EQ(run(created, "busybox ls /var/task").text, "app.py\n");
  kill_and_remove(created);
}

// /dev is the spawner's, but it can be moved away in the image that it is mounted on. What a set-up
// then opens as /dev/null, as the sandbox' root, is no device and no memory.
TEST_F(MountsTest, GetsNothingOpenedByADevOfItsOwn) {
  fs::path rootfs = make_image("evil"), null = rootfs / "dev/null";
  start();
  kill_and_remove(create(evil()));
  fs::rename(rootfs / "dev", rootfs / "aside");
  fs::create_directories(rootfs / "dev/shm");
  auto expect = [&](int error) {
    Failure failure = failed(evil());
    EXPECT_EQ(failure.step, "place descriptors: open");
    EXPECT_EQ(failure.error, error);
    fs::remove(null);
  };
  expect(ENOENT);
  for (const char* memory : {"/proc/1/mem", "/proc/self/mem"}) {
    fs::create_symlink(memory, null);
    expect(EACCES);
  }
  ASSERT_EQ(::mknod(null.c_str(), S_IFCHR | 0666, makedev(1, 1)), 0);
  expect(EACCES);
}

class MountsRaceTest : public MountsTest, public ::testing::WithParamInterface<const char*> {
 protected:
  // Of making a sandbox: no step when it is ready, with as many `mounts` as others have.
  Failure outcome(size_t mounts) {
    client->create(evil());
    Answer answer = wait_answer();
    if (auto* no = std::get_if<Refused>(&answer)) return no->failure;
    Created& created = std::get<Created>(answer);
    Failure failure = report_of(created);
    EXPECT_TRUE(!failure.step.empty() || mounts_in(created) == mounts);
    kill_and_remove(created);
    return failure;
  }
};

// One moment a folder, the next a link to where a mount would be seen by all sandboxes; and the
// image is another one each time, so that the spawner puts it together anew.
TEST_P(MountsRaceTest, GetsNothingMountedOutsideBySwappingAFolder) {
  fs::path rootfs = make_image("evil"), other = make_image("evil", "other");
  for (const fs::path& each : {rootfs, other}) {
    fs::create_directory_symlink("/state/outside", each / "link");
  }
  start();
  Created quiet = create(evil());
  const size_t mounts = mounts_in(quiet);
  kill_and_remove(quiet);
  // By descriptors, so that nothing passes from one of the two to the other.
  sys::Fd trees[] = {open_folder(rootfs), open_folder(other)};
  std::jthread swapper([&trees, folder = GetParam()](std::stop_token end) {
    while (!end.stop_requested()) {
      for (const sys::Fd& tree : trees)
        ::renameat2(tree.get(), "link", tree.get(), folder, RENAME_EXCHANGE);
    }
  });
  int made = 0, refused = 0;
  for (int i = 0; i < kRounds || (i < kRoundsMax && (made == 0 || refused == 0)); ++i) {
    ::renameat2(AT_FDCWD, rootfs.c_str(), AT_FDCWD, other.c_str(), RENAME_EXCHANGE);
    Failure failure = outcome(mounts);
    ++(failure.step.empty() ? made : refused);
    // Without a folder at /dev there is no /dev/null later on.
    bool expected = failure.error == ELOOP || failure.step == "place descriptors: open";
    EXPECT_TRUE(failure.step.empty() || expected) << failure.step << ": " << failure.error;
    ASSERT_EQ(mounted_outside(), 0u) << "in round " << i;
  }
  EXPECT_GT(made, 0);
  EXPECT_GT(refused, 0);
}

INSTANTIATE_TEST_SUITE_P(Folders, MountsRaceTest, ::testing::ValuesIn(kFolders),
                         [](const auto& folder) { return std::string(folder.param); });

}  // namespace
}  // namespace hearth::sandbox::test
