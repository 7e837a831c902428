// SPDX-License-Identifier: Apache-2.0
// The checks of `hearth doctor` on folders that look like hosts.
#include "cli/doctor/doctor.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

namespace hearth::cli::doctor {
namespace {

namespace fs = std::filesystem;

class Doctor : public testing::Test {
 protected:
  Doctor() {
    char name[] = "/tmp/hearth-host-XXXXXX";
    root_ = ::mkdtemp(name);
  }
  ~Doctor() override { fs::remove_all(root_); }

  Host host() const { return Host(root_); }
  void write(const std::string& path, const std::string& text) const {
    fs::create_directories(fs::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text;
  }
  static const Finding& find(const Findings& findings, const std::string& check) {
    for (const Finding& finding : findings)
      if (finding.check == check) return finding;
    throw std::runtime_error("no check " + check);
  }

  std::string root_;
};

constexpr const char* kV2 = "35 24 0:30 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n";
constexpr const char* kHybrid =
    "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
    "36 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids\n"
    "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";

TEST_F(Doctor, KernelsAreToldApartByWhatTheyCan) {
  write("/proc/sys/user/max_user_namespaces", "15000\n");
  auto level = [&](const char* release) {
    return find(check_kernel(host(), release), "kernel").level;
  };
  EXPECT_EQ(level("5.10.0-30-amd64"), Level::kFail);
  EXPECT_EQ(level("5.13.19"), Level::kFail);
  EXPECT_EQ(level("5.14.0"), Level::kWarn);
  EXPECT_EQ(level("5.19.0"), Level::kOk);
  EXPECT_EQ(level("6.1.0-30-cloud-amd64"), Level::kOk);
  EXPECT_EQ(level("10.0"), Level::kOk);
  EXPECT_EQ(level("unknown"), Level::kWarn);
  Findings old = check_kernel(host(), "6.1.0");
  EXPECT_NE(find(old, "kernel").found.find("since a sandbox's start"), std::string::npos);
}

TEST_F(Doctor, UserNamespacesMustBeAllowed) {
  auto look = [&] { return find(check_kernel(host(), "6.1"), "user namespaces"); };
  EXPECT_EQ(look().level, Level::kFail);  // no such file: the kernel has none
  write("/proc/sys/user/max_user_namespaces", "0");
  EXPECT_EQ(look().level, Level::kFail);
  EXPECT_EQ(look().fix, "sysctl -w user.max_user_namespaces=15000");
  write("/proc/sys/user/max_user_namespaces", "15000");
  EXPECT_EQ(look().level, Level::kOk);
  write("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1");
  EXPECT_EQ(look().level, Level::kOk);
  EXPECT_NE(look().found.find("closed to unprivileged"), std::string::npos);
}

TEST_F(Doctor, AHostWithoutCgroupV2Fails) {
  write("/proc/self/mountinfo",
        "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n");
  Findings findings = check_cgroups(host(), {});
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_EQ(findings[0].level, Level::kFail);
}

TEST_F(Doctor, ControllersInPlaceAreFine) {
  write("/proc/self/mountinfo", kV2);
  write("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory hugetlb pids rdma misc\n");
  for (const Finding& finding : check_cgroups(host(), {})) EXPECT_EQ(finding.level, Level::kOk);
}

TEST_F(Doctor, AMissingControllerNamesTheLimitsThatItWouldEnforce) {
  write("/proc/self/mountinfo", kHybrid);
  write("/sys/fs/cgroup/unified/cgroup.controllers", "hugetlb\n");
  EXPECT_EQ(cgroup_mount(host()), "/sys/fs/cgroup/unified");
  Findings findings = check_cgroups(host(), {});
  const Finding& memory = find(findings, "cgroup controller memory");
  EXPECT_EQ(memory.level, Level::kFail);
  EXPECT_NE(memory.why.find("memory_mb"), std::string::npos);
  EXPECT_NE(memory.fix.find("systemd.unified_cgroup_hierarchy=1"), std::string::npos);
  const Finding& cpu = find(findings, "cgroup controller cpu");  // on no hierarchy at all
  EXPECT_NE(cpu.fix.find("cgroup_disable=cpu"), std::string::npos);
  Daemon daemon{"0.1.0", "", "best-effort", ""};
  EXPECT_EQ(find(check_cgroups(host(), daemon), "cgroup controller memory").level, Level::kWarn);
}

TEST_F(Doctor, LimitsOnReadsAreWhatHearthdSaysOrElseTheController) {
  write("/proc/self/mountinfo", kV2);
  write("/sys/fs/cgroup/cgroup.controllers", "cpu io memory pids");
  auto look = [&](const std::string& reads) {
    Daemon daemon;
    daemon.reads = reads;
    return find(check_cgroups(host(), daemon), "limits on disk reads");
  };
  EXPECT_EQ(look("").level, Level::kOk);
  EXPECT_EQ(look("io.max of 8:0").level, Level::kOk);
  EXPECT_EQ(look("none: /usr is on overlay").level, Level::kWarn);
  EXPECT_EQ(look("none: /usr is on overlay").found, "/usr is on overlay");
  write("/sys/fs/cgroup/cgroup.controllers", "cpu memory pids");
  EXPECT_EQ(look("").level, Level::kWarn);
}

TEST_F(Doctor, AUnitThatIsGivenTooLittleFails) {
  write("/proc/self/mountinfo", kV2);
  write("/sys/fs/cgroup/cgroup.controllers", "cpu memory pids");
  write("/sys/fs/cgroup/system.slice/hearthd.service/cgroup.controllers", "memory pids");
  EXPECT_EQ(find(check_cgroups(host(), {}), "delegation").level, Level::kFail);
}

TEST_F(Doctor, IdsOfSandboxesBelongToNobodyElse) {
  write("/etc/passwd", "root:x:0:0::/:/bin/sh\nhearth:x:990:990::/:/bin/false\n");
  auto level = [&](const char* check) { return find(check_accounts(host()), check).level; };
  EXPECT_EQ(level("account hearth"), Level::kOk);
  EXPECT_EQ(level("accounts"), Level::kOk);
  write("/etc/subuid", "me:100000:65536\nhearth:1879048192:268435456\n");
  EXPECT_EQ(level("user ids of sandboxes"), Level::kOk);
  write("/etc/subuid", "edge:2147483648:65536\n");
  EXPECT_EQ(level("user ids of sandboxes"), Level::kOk);
  write("/etc/subuid", "edge:2147483647:65536\n");
  EXPECT_EQ(level("user ids of sandboxes"), Level::kFail);
  write("/etc/subgid", "wide:1:4294967295\n");
  EXPECT_EQ(level("group ids of sandboxes"), Level::kFail);
  write("/etc/passwd", "big:x:1879048193:100::/:/bin/sh\n");
  EXPECT_EQ(level("accounts"), Level::kFail);
  EXPECT_EQ(level("account hearth"), Level::kFail);
}

TEST_F(Doctor, SettingsThatWeakenIsolationAreNamed) {
  struct Case {
    const char *path, *bad, *good, *check;
  };
  for (const Case& c :
       {Case{"/proc/sys/kernel/core_pattern", "@/run/cores", "|/bin/x %P", "core dumps"},
        Case{"/proc/sys/kernel/yama/ptrace_scope", "0", "1", "ptrace"},
        Case{"/proc/sys/fs/protected_symlinks", "0", "1", "links in shared folders"},
        Case{"/sys/kernel/mm/ksm/run", "1", "0", "same-page merging"},
        Case{"/sys/devices/system/cpu/smt/active", "1", "0", "hyper-threads"},
        Case{"/proc/self/mountinfo", "1 2 0:5 / /proc rw - proc proc rw,hidepid=2",
             "1 2 0:5 / /proc rw - proc proc rw", "/proc of the host"},
        Case{"/sys/devices/system/cpu/vulnerabilities/mds", "Vulnerable: x", "Mitigation: y",
             "processor"}}) {
    write(c.path, c.bad);
    const Finding bad = find(check_isolation(host()), c.check);
    EXPECT_EQ(bad.level, Level::kWarn) << c.path;
    EXPECT_FALSE(bad.why.empty() || bad.fix.empty()) << c.path;
    write(c.path, c.good);
    EXPECT_EQ(find(check_isolation(host()), c.check).level, Level::kOk) << c.path;
  }
}

TEST_F(Doctor, WhatNoKernelDefendsIsSaid) {
  const Finding shared = find(check_isolation(host()), "files that sandboxes share");
  EXPECT_EQ(shared.level, Level::kOk);
  EXPECT_NE(shared.found.find("locks"), std::string::npos);
  EXPECT_NE(shared.found.find("THREAT_MODEL.md"), std::string::npos);
}

TEST_F(Doctor, SettingsThatCostTimeAreNamed) {
  for (const Finding& finding : check_timing(host())) EXPECT_EQ(finding.level, Level::kOk);
  write("/proc/swaps", "Filename Type Size Used Priority\n/dev/sda2 partition 1 0 -2\n");
  write("/sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never");
  write("/proc/sys/net/core/bpf_jit_enable", "0");
  write("/proc/sys/kernel/sched_autogroup_enabled", "1");
  for (const Finding& finding : check_timing(host())) EXPECT_EQ(finding.level, Level::kWarn);
  write("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu memory");
  EXPECT_EQ(find(check_timing(host()), "scheduling by session").level, Level::kOk);
}

TEST_F(Doctor, AnImageWithASetuidFileFails) {
  write("/state/images/good/rootfs/bin/tool", "x");
  write("/state/images/.half.partial-1/rootfs/bin/su", "x");
  Daemon daemon{"", "", "", "/state"};
  EXPECT_EQ(find(check_state(host(), daemon), "image good").level, Level::kOk);
  write("/state/images/bad/rootfs/deep/in/su", "x");
  ::chmod((root_ + "/state/images/bad/rootfs/deep/in/su").c_str(), 04755);
  Findings findings = check_state(host(), daemon);
  EXPECT_EQ(find(findings, "image bad").level, Level::kFail);
  EXPECT_NE(find(findings, "image bad").found.find("/deep/in/su"), std::string::npos);
  EXPECT_THROW(find(findings, "image .half.partial-1"), std::runtime_error);
  fs::create_directories(root_ + "/state/images/empty");
  EXPECT_EQ(find(check_state(host(), daemon), "image empty").level, Level::kFail);
}

TEST_F(Doctor, AStateFolderThatOthersMayWriteFails) {
  Daemon daemon{"", "", "", "/state"};
  EXPECT_EQ(find(check_state(host(), daemon), "state folder").level, Level::kWarn);
  fs::create_directories(root_ + "/state");
  EXPECT_EQ(find(check_state(host(), daemon), "state folder").level, Level::kOk);
  EXPECT_EQ(find(check_state(host(), daemon), "images").level, Level::kWarn);
  ::chmod((root_ + "/state").c_str(), 0777);
  EXPECT_EQ(find(check_state(host(), daemon), "state folder").level, Level::kFail);
}

TEST_F(Doctor, ProgramsOfTheHostSayTheirVersion) {
  EXPECT_EQ(find(check_runtimes(host()), "python3 on the host").level, Level::kWarn);
  write("/usr/bin/python3", "#!/bin/sh\necho Python 3.11.2\n");
  ::chmod((root_ + "/usr/bin/python3").c_str(), 0755);
  EXPECT_EQ(find(check_runtimes(host()), "python3 on the host").found,
            "/usr/bin/python3: Python 3.11.2");
}

TEST(DoctorAttempts, LeaveNothingBehind) {
  Host host;
  Findings findings = check_attempts(host);
  EXPECT_EQ(findings.size(), 4u);
  for (const Finding& finding : findings)
    if (finding.level != Level::kOk) {
      EXPECT_FALSE(finding.why.empty() || finding.fix.empty());
    }
  std::string mount = cgroup_mount(host);
  if (mount.empty()) return;
  std::string group = mount + "/hearth-doctor-" + std::to_string(::getpid());
  EXPECT_FALSE(fs::exists(group));
}

}  // namespace
}  // namespace hearth::cli::doctor
