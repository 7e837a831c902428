// SPDX-License-Identifier: Apache-2.0
#include "tests/integration/sandbox_support.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

#include "sandbox/cgroup.h"
#include "sandbox/control.h"
#include "sandbox/sys/error.h"

namespace hearth::sandbox::test {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

bool readable_within(int fd, milliseconds limit) {
  pollfd wait{fd, POLLIN, 0};
  return ::poll(&wait, 1, static_cast<int>(limit.count())) == 1;
}

// Removes what a failed test may have left.
void remove_groups(const std::string& base) {
  if (!exists(base)) return;
  std::ofstream(base + "/cgroup.kill") << "1";
  std::vector<std::string> groups = {base};
  for (const auto& entry : fs::recursive_directory_iterator(base)) {
    if (entry.is_directory()) groups.push_back(entry.path());
  }
  std::reverse(groups.begin(), groups.end());
  for (int tries = 0; tries < 500 && exists(base); ++tries) {
    std::sort(groups.begin(), groups.end(), [](auto& a, auto& b) { return a.size() > b.size(); });
    for (const std::string& group : groups) ::rmdir(group.c_str());
    if (exists(base)) std::this_thread::sleep_for(milliseconds(5));
  }
}

}  // namespace

void SandboxTest::SetUp() {
  if (::geteuid() != 0) {
    if (!environment("HEARTH_TESTS_MUST_RUN").empty()) FAIL() << "these tests need root";
    GTEST_SKIP() << "these tests need root";
  }
  char folder[] = "/tmp/hearth-sandbox-test.XXXXXX";
  ASSERT_NE(::mkdtemp(folder), nullptr);
  state = folder;
  fs::create_directories(state + "/bundles/" + kBundle);
  std::ofstream(state + "/bundles/" + kBundle + "/app.py") << "code\n";
  fs::create_directories(state + "/images");
  fs::create_directories(state + "/runtimes");
  std::ofstream(state + "/runtimes/boot.py") << "runtime\n";
  // As hearthd's: nobody else gets in.
  fs::permissions(state, fs::perms::owner_all);
  ASSERT_EQ(::chown(state.c_str(), 64999, 64999), 0);
  spawner = environment("HEARTH_SPAWNER");
  init = environment("HEARTH_PROBE_INIT");
  base = cgroup::prepare_base(LimitsMode::kBestEffort, fs::path(state).filename());
  policy.state_dir = state;
  policy.init_path = init;
  policy.runtimes_dir = state + "/runtimes";
  policy.cgroup_base = base;
  policy.mode = LimitsMode::kBestEffort;
  policy.host_image = true;
  policy.subid_blocks = 64;
}

void SandboxTest::TearDown() {
  stop();
  if (!base.empty()) remove_groups(base);
  if (!state.empty()) fs::remove_all(state);
}

void SandboxTest::start() {
  client = std::make_unique<SpawnerClient>(spawner, policy);
}
void SandboxTest::stop() {
  client.reset();
}

Spec SandboxTest::spec(const std::string& function) {
  Spec spec;
  spec.id = next_id++;
  spec.tenant = "acme";
  spec.function = function;
  spec.image = "host";
  if (!function.empty()) spec.bundle = kBundle;
  return spec;
}

Answer SandboxTest::wait_answer(milliseconds limit) {
  if (!readable_within(client->fd(), limit)) {
    throw sys::Error("wait", "the spawner's answer", ETIMEDOUT);
  }
  std::optional<Answer> answer = client->receive();
  if (!answer) throw sys::Error("receive", "the spawner's answer", EAGAIN);
  return std::move(*answer);
}

Failure SandboxTest::report_of(const Created& created) {
  int control = created.descriptors.control.get();
  if (!readable_within(control, milliseconds(10'000))) {
    throw sys::Error("wait", "the sandbox' first event", ETIMEDOUT);
  }
  std::optional<control::Event> event = control::receive_event(control);
  if (!event) throw sys::Error("receive", "the sandbox' first event", EAGAIN);
  if (auto* failed = std::get_if<control::Failed>(&*event)) return failed->failure;
  EXPECT_TRUE(std::holds_alternative<control::Ready>(*event));
  return {};
}

Created SandboxTest::create(const Spec& spec) {
  client->create(spec);
  Answer answer = wait_answer();
  if (auto* refused = std::get_if<Refused>(&answer)) {
    throw sys::Error("refused: " + refused->failure.step, refused->failure.object,
                     refused->failure.error);
  }
  Created created = std::move(std::get<Created>(answer));
  EXPECT_EQ(created.id, spec.id);
  Failure failure = report_of(created);
  if (!failure.step.empty()) throw sys::Error(failure.step, failure.object, failure.error);
  return created;
}

Failure SandboxTest::expect_refusal(uint64_t id) {
  Answer answer = wait_answer();
  auto* refused = std::get_if<Refused>(&answer);
  if (!refused) {
    ADD_FAILURE() << "was not refused";
    return {};
  }
  EXPECT_EQ(refused->id, id);
  return refused->failure;
}

void SandboxTest::expect_done(uint64_t id) {
  Answer answer = wait_answer();
  if (auto* refused = std::get_if<Refused>(&answer)) {
    FAIL() << refused->failure.step << " " << refused->failure.object << ": "
           << refused->failure.error;
  }
  ASSERT_TRUE(std::holds_alternative<Done>(answer));
  EXPECT_EQ(std::get<Done>(answer).id, id);
}

Failure SandboxTest::refused(const Spec& spec) {
  client->create(spec);
  return expect_refusal(spec.id);
}

Failure SandboxTest::failed(const Spec& spec) {
  client->create(spec);
  Answer answer = wait_answer();
  if (auto* refused = std::get_if<Refused>(&answer)) return refused->failure;
  Failure failure = report_of(std::get<Created>(answer));
  remove(spec.id);
  return failure;
}

void SandboxTest::remove(uint64_t id) {
  client->remove(id);
  expect_done(id);
}

void SandboxTest::kill_and_remove(const Created& created) {
  ASSERT_EQ(::write(created.descriptors.cgroup_kill.get(), "1", 1), 1);
  ASSERT_TRUE(dead_within(created.descriptors.pidfd.get(), milliseconds(5000)));
  remove(created.id);
}

Output SandboxTest::run(const Created& created, const std::string& command, char as) {
  int control = created.descriptors.control.get();
  std::string request = as + command;
  EXPECT_EQ(::send(control, request.data(), request.size(), MSG_NOSIGNAL), ssize_t(request.size()));
  std::string reply(128 * 1024, '\0');
  if (!readable_within(control, milliseconds(20'000))) return {};
  ssize_t got = ::recv(control, reply.data(), reply.size(), 0);
  if (got < 1) return {};
  return {static_cast<unsigned char>(reply[0]), reply.substr(1, size_t(got) - 1)};
}

std::string SandboxTest::group(const Spec& spec) const {
  std::string parent = spec.function.empty() ? "generic" : "functions/" + spec.function;
  return fmt::format("{}/tenants/{}/{}/s-{}", base, spec.tenant, parent, spec.id);
}

fs::path SandboxTest::make_image(const std::string& name, const std::string& rootfs) {
  fs::path root = state + "/images/" + name + "/" + rootfs;
  for (const char* folder : {"proc", "dev", "tmp", "bin", "var/task", "var/runtime"}) {
    fs::create_directories(root / folder);
  }
  EXPECT_TRUE(exists("/bin/busybox")) << "busybox-static is missing";
  fs::copy_file("/bin/busybox", root / "bin/busybox");
  fs::create_symlink("busybox", root / "bin/sh");
  return root;
}

bool dead_within(int pidfd, milliseconds limit) {
  return readable_within(pidfd, limit);
}
bool exists(const std::string& path) {
  return fs::exists(fs::symlink_status(path));
}

std::string read_text(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

size_t lines(const std::string& path) {
  std::string text = read_text(path);
  return size_t(std::count(text.begin(), text.end(), '\n'));
}

size_t open_descriptors(int32_t pid) {
  auto entries = fs::directory_iterator(fmt::format("/proc/{}/fd", pid));
  return size_t(std::distance(begin(entries), end(entries)));
}

size_t children_of(int32_t pid) {
  std::string text = read_text(fmt::format("/proc/{}/task/{}/children", pid, pid));
  return size_t(std::count(text.begin(), text.end(), ' '));
}

}  // namespace hearth::sandbox::test
