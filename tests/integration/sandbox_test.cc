// SPDX-License-Identifier: Apache-2.0
// What a sandbox is, seen from inside by attempting and from outside by reading the kernel's files.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/integration/sandbox_support.h"

namespace hearth::sandbox::test {
namespace {

namespace fs = std::filesystem;

std::string pread_text(const sys::Fd& fd) {
  char text[4096];
  ssize_t size = ::pread(fd.get(), text, sizeof text, 0);
  return size > 0 ? std::string(text, size_t(size)) : "";
}

TEST_F(SandboxTest, ShowsTheCodeTheRuntimesAndNothingOfTheHost) {
  start();
  Created created = create(spec());
  EXPECT_EQ(run(created, "cat /var/task/app.py /var/runtime/boot.py").text, "code\nruntime\n");
  EXPECT_EQ(run(created, "cd /; echo *").text,
            "bin dev etc lib lib32 lib64 proc root sbin tmp usr var\n");
  EXPECT_EQ(run(created, "cd /dev; echo *").text,
            "fd full null random shm stderr stdin stdout urandom zero\n");
  EXPECT_EQ(run(created, "cat /etc/shadow").status, 1);
  EXPECT_EQ(run(created, "cat /etc/hostname").status, 1);
  // The state folder and the test's own files are there outside.
  ASSERT_TRUE(exists(state));
  EXPECT_NE(run(created, "ls " + state).status, 0);
  EXPECT_EQ(run(created, "ls -A /tmp /dev/shm /root").text, "/dev/shm:\n\n/root:\n\n/tmp:\n");
  kill_and_remove(created);
}

TEST_F(SandboxTest, LetsNobodyWriteButToItsOwnScratch) {
  start();
  Created created = create(spec());
  for (char as : {'u', 'r'}) {
    EXPECT_EQ(run(created, "echo a > /tmp/" + std::string(1, as), as).status, 0);
    EXPECT_EQ(run(created, "echo a > /dev/shm/" + std::string(1, as), as).status, 0);
    for (const char* folder : {"", "/usr", "/usr/bin", "/etc", "/var/task", "/var/runtime", "/dev",
                               "/root", "/var", "/proc"}) {
      Output output = run(created, fmt::format("echo a > {}/planted", folder), as);
      EXPECT_NE(output.status, 0) << folder << " as " << as;
    }
    EXPECT_NE(run(created, "echo a >> /var/task/app.py", as).status, 0);
    EXPECT_NE(run(created, "rm /dev/null", as).status, 0);
    EXPECT_NE(run(created, "chmod 000 /dev/null", as).status, 0);
    EXPECT_NE(run(created, "mount -t tmpfs none /var/task", as).status, 0);
    EXPECT_NE(run(created, "mount -o remount,rw /usr", as).status, 0);
    EXPECT_NE(run(created, "umount /var/task", as).status, 0);
    EXPECT_NE(run(created, "mknod /tmp/disk b 8 0", as).status, 0);
    EXPECT_NE(run(created, "hostname other", as).status, 0);
    EXPECT_NE(run(created, "ip link set lo down", as).status, 0);
  }
  kill_and_remove(created);
}

TEST_F(SandboxTest, BoundsWhatItsScratchHolds) {
  start();
  Spec small = spec();
  small.limits.tmp_bytes = 1 << 20;
  Created created = create(small);
  for (const char* folder : {"/tmp", "/dev/shm"}) {
    std::string fill = fmt::format("head -c 1048576 /dev/zero > {}/full", folder);
    EXPECT_EQ(run(created, fill).status, 0) << folder;
    EXPECT_NE(run(created, fmt::format("echo more > {}/more", folder)).status, 0) << folder;
  }
  EXPECT_EQ(run(created, "rm /tmp/full").status, 0);
  Output files = run(created, "i=0; while mkdir /tmp/$i 2>/dev/null; do i=$((i+1)); done; echo $i");
  EXPECT_LT(std::stoi(files.text), 1 + (1 << 20) / 4096 + 64);
  EXPECT_GT(std::stoi(files.text), 100);
  kill_and_remove(created);
}

TEST_F(SandboxTest, HasWorkingDevices) {
  start();
  Created created = create(spec());
  EXPECT_EQ(run(created, "head -c 3 /dev/zero | wc -c; head -c 3 /dev/urandom | wc -c").text,
            "3\n3\n");
  EXPECT_EQ(run(created, "echo a > /dev/null && cat /dev/null").status, 0);
  EXPECT_NE(run(created, "echo a > /dev/full").status, 0);
  EXPECT_EQ(run(created, "echo a | cat /dev/stdin; ls /dev/fd | wc -l").text.substr(0, 2), "a\n");
  kill_and_remove(created);
}

TEST_F(SandboxTest, LeavesItsPid1FourCapabilitiesAndItsUserNone) {
  start();
  Created created = create(spec());
  std::string status = run(created, "cat /proc/self/status", 'r').text;
  for (const char* line :
       {"CapInh:\t00000000000000e2", "CapPrm:\t00000000000000e2", "CapEff:\t00000000000000e2",
        "CapBnd:\t0000000000000000", "CapAmb:\t00000000000000e2", "NoNewPrivs:\t1", "Groups:\t \n",
        "SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000"}) {
    EXPECT_NE(status.find(line), std::string::npos) << line << "\n" << status;
  }
  status = run(created, "cat /proc/self/status").text;
  for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"}) {
    EXPECT_NE(status.find(fmt::format("{}:\t0000000000000000", set)), std::string::npos) << set;
  }
  // No mount honours a setuid bit.
  EXPECT_EQ(run(created, "grep -vc nosuid /proc/self/mountinfo").text, "0\n");
  kill_and_remove(created);
}

TEST_F(SandboxTest, MapsAPrivateBlockOfIds) {
  start();
  Created first = create(spec()), second = create(spec());
  EXPECT_EQ(run(first, "id -u; id -g").text, "1000\n1000\n");
  std::string map = read_text(fmt::format("/proc/{}/uid_map", first.init_host_pid));
  std::istringstream fields(map);
  uint64_t inside = 1, outside = 0, count = 0;
  fields >> inside >> outside >> count;
  EXPECT_EQ(inside, 0u);
  EXPECT_GE(outside, policy.subid_base);
  EXPECT_EQ(count, kBlockSize);
  EXPECT_EQ(read_text(fmt::format("/proc/{}/gid_map", first.init_host_pid)), map);
  EXPECT_NE(read_text(fmt::format("/proc/{}/uid_map", second.init_host_pid)), map);
  kill_and_remove(first);
  kill_and_remove(second);
}

TEST_F(SandboxTest, HasNamespacesOfItsOwn) {
  start();
  Created created = create(spec());
  for (const char* kind : {"user", "pid", "mnt", "net", "ipc", "uts", "cgroup"}) {
    auto link = [&](int pid) {
      return fs::read_symlink(fmt::format("/proc/{}/ns/{}", pid, kind)).string();
    };
    EXPECT_NE(link(created.init_host_pid), link(::getpid())) << kind;
  }
  EXPECT_EQ(run(created, "hostname").text, "hearth\n");
  EXPECT_EQ(run(created, "cat /proc/self/cgroup | grep ^0::").text, "0::/\n");
  EXPECT_EQ(run(created, "cat /proc/net/dev").status, 1);  // /proc shows processes only
  EXPECT_EQ(run(created, "ip -o link | wc -l; ip -o addr | grep -c 127.0.0.1").text, "1\n1\n");
  EXPECT_EQ(run(created, "ls -d /proc/[0-9]* | grep -c '/proc/1$'").text, "0\n");
  kill_and_remove(created);
}

TEST_F(SandboxTest, InheritsNoDescriptorKeyringOrDirectory) {
  start();
  // Many sandboxes, so that the spawner's own descriptors are many.
  std::vector<Created> others;
  for (int i = 0; i < 20; ++i) others.push_back(create(spec()));
  Created created = create(spec());
  fs::path files = fmt::format("/proc/{}/fd", created.init_host_pid);
  std::vector<std::string> targets(4);
  size_t count = 0;
  for (const auto& entry : fs::directory_iterator(files)) {
    size_t number = std::stoul(entry.path().filename());
    ASSERT_LT(number, targets.size()) << fs::read_symlink(entry.path());
    targets[number] = fs::read_symlink(entry.path());
    ++count;
  }
  EXPECT_EQ(count, 4u);
  for (int fd : {0, 1, 2}) EXPECT_EQ(targets[size_t(fd)], "/dev/null");
  EXPECT_TRUE(targets[3].starts_with("socket:")) << targets[3];
  EXPECT_EQ(read_text(fmt::format("/proc/{}/environ", created.init_host_pid)), "");
  EXPECT_EQ(run(created, "pwd").text, "/\n");
  EXPECT_EQ(fs::read_symlink(fmt::format("/proc/{}/cwd", created.init_host_pid)), "/");
  EXPECT_EQ(run(created, "umask").text, "0022\n");
  kill_and_remove(created);
  for (Created& other : others) kill_and_remove(other);
}

TEST_F(SandboxTest, SetsTheResourceLimitsItWasAskedFor) {
  start();
  Spec wanted = spec();
  wanted.limits.open_files_max = 77;
  wanted.limits.file_bytes_max = 8192;
  wanted.limits.processes_max = 9;
  Created created = create(wanted);
  std::string limits = read_text(fmt::format("/proc/{}/limits", created.init_host_pid));
  auto expect = [&](const char* name, const char* value) {
    std::string line = limits.substr(limits.find(name));
    std::istringstream words(line.substr(26, 60));
    std::string soft, hard;
    words >> soft >> hard;
    EXPECT_EQ(soft, value) << name;
    EXPECT_EQ(hard, value) << name;
  };
  expect("Max core file size", "1");
  expect("Max open files", "77");
  expect("Max file size", "8192");
  expect("Max processes", "10");
  expect("Max locked memory", "65536");
  expect("Max msgqueue size", "0");
  expect("Max nice priority", "0");
  expect("Max realtime priority", "0");
  expect("Max pending signals", "1024");
  EXPECT_NE(run(created, "head -c 8193 /dev/zero > /tmp/a").status, 0);
  EXPECT_NE(run(created, "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 5 > /dev/null 2>&1 & done")
                .status,
            0);
  kill_and_remove(created);
}

TEST_F(SandboxTest, PassesCountersThatCanBeRead) {
  start();
  Spec wanted = spec();
  Created created = create(wanted);
  const Descriptors& d = created.descriptors;
  EXPECT_EQ(pread_text(d.cgroup_events).substr(0, 12), "populated 1\n");
  EXPECT_EQ(pread_text(d.cgroup_procs), std::to_string(created.init_host_pid) + "\n");
  EXPECT_NE(pread_text(d.cpu_stat).find("usage_usec "), std::string::npos);
  run(created, "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done");
  EXPECT_GT(std::stoul(pread_text(d.cpu_stat).substr(11)), 5000u);
  // Nothing that is passed can take in a process or widen a limit.
  for (const sys::Fd* fd : {&d.cgroup_events, &d.cgroup_procs, &d.cpu_stat}) {
    EXPECT_EQ(::fcntl(fd->get(), F_GETFL) & O_ACCMODE, O_RDONLY);
  }
  EXPECT_EQ(::fcntl(d.cgroup_kill.get(), F_GETFL) & O_ACCMODE, O_WRONLY);
  EXPECT_TRUE(::fcntl(d.control.get(), F_GETFL) & O_NONBLOCK);
  // Another user can find them by path, for the recovery after a crash.
  struct stat status {};
  ASSERT_EQ(::stat((group(wanted) + "/cpu.stat").c_str(), &status), 0);
  EXPECT_TRUE(status.st_mode & S_IROTH);
  kill_and_remove(created);
}

TEST_F(SandboxTest, SpecialisesAGenericSandboxOnce) {
  start();
  Spec generic = spec("");
  Created created = create(generic);
  EXPECT_TRUE(exists(group(generic)));
  EXPECT_EQ(run(created, "ls /var/task | wc -l").text, "0\n");
  // An interpreter that waits for code already runs.
  EXPECT_EQ(run(created, "sleep 100 > /dev/null 2>&1 & echo $! > /tmp/pid").status, 0);

  Limits limits;
  limits.tmp_bytes = 1 << 20;
  limits.open_files_max = 55;
  limits.processes_max = 7;
  client->specialise(generic.id, kBundle, limits, "f");
  expect_done(generic.id);
  EXPECT_EQ(run(created, "cat /var/task/app.py").text, "code\n");
  for (char as : {'u', 'r'}) EXPECT_NE(run(created, "echo a > /var/task/b", as).status, 0);
  EXPECT_NE(run(created, "mount -o remount,rw,bind /var/task", 'r').status, 0);
  EXPECT_NE(run(created, "head -c 1100000 /dev/zero > /tmp/full").status, 0);
  EXPECT_NE(run(created, "head -c 1100000 /dev/zero > /dev/shm/full").status, 0);
  EXPECT_EQ(run(created, "ulimit -n; ulimit -u 2>/dev/null || ulimit -p").text, "55\n8\n");
  // Both processes that were there, PID 1 and the waiting one.
  std::istringstream pids(pread_text(created.descriptors.cgroup_procs));
  int seen = 0;
  for (int pid; pids >> pid; ++seen) {
    std::string text = read_text(fmt::format("/proc/{}/limits", pid));
    EXPECT_NE(text.find("Max open files            55 "), std::string::npos) << text;
  }
  EXPECT_EQ(seen, 2);

  client->specialise(generic.id, kBundle, limits, "f");
  EXPECT_EQ(expect_refusal(generic.id).error, EALREADY);
  kill_and_remove(created);
}

TEST_F(SandboxTest, UsesAnImageOfTheStateFolder) {
  fs::path rootfs = state + "/images/tiny/rootfs";
  for (const char* folder : {"proc", "dev", "tmp", "var/task", "var/runtime", "bin"}) {
    fs::create_directories(rootfs / folder);
  }
  fs::copy_file("/bin/busybox", rootfs / "bin/busybox");
  fs::create_symlink("busybox", rootfs / "bin/sh");
  start();
  Spec tiny = spec();
  tiny.image = "tiny";
  Created created = create(tiny);
  EXPECT_EQ(
      run(created, "cd /; echo *; /bin/busybox cat /var/task/app.py /var/runtime/boot.py").text,
      "bin dev proc tmp var\ncode\nruntime\n");
  EXPECT_EQ(run(created, "cd /dev; echo *; echo a > /dev/null").text,
            "fd full null random shm stderr stdin stdout urandom zero\n");
  EXPECT_NE(run(created, "echo a > /bin/b", 'r').status, 0);
  kill_and_remove(created);

  // Built anew under the same name: the next sandbox sees the new one.
  fs::rename(state + "/images/tiny", state + "/images/old");
  fs::create_directories(state + "/images/tiny");
  fs::copy(rootfs.parent_path().parent_path() / "old/rootfs", rootfs,
           fs::copy_options::recursive | fs::copy_options::copy_symlinks);
  std::ofstream(rootfs / "new") << "new\n";
  tiny.id = next_id++;
  created = create(tiny);
  EXPECT_EQ(run(created, "/bin/busybox cat /new").text, "new\n");
  kill_and_remove(created);

  fs::remove_all(state + "/images/tiny");
  tiny.id = next_id++;
  EXPECT_EQ(refused(tiny).error, ENOENT);
}

TEST_F(SandboxTest, NamesTheMountPointThatAnImageLacks) {
  for (const char* folder : {"proc", "dev", "tmp", "var/task"}) {
    fs::create_directories(state + "/images/bare/rootfs/" + folder);
  }
  start();
  Spec bare = spec();
  bare.image = "bare";
  Failure failure = refused(bare);
  EXPECT_EQ(failure.object, "images/bare/rootfs/var/runtime");
  EXPECT_EQ(failure.error, ENOENT);
}

}  // namespace
}  // namespace hearth::sandbox::test
