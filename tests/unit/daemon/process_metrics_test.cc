// SPDX-License-Identifier: Apache-2.0
#include "daemon/process_metrics.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <ctime>

#include "tests/support/exposition.h"

namespace hearth::daemon {
namespace {

testing::Exposition now() {
  std::string text;
  expose_process(text);
  return testing::Exposition(text);
}

TEST(ProcessMetrics, SayWhatTheKernelSays) {
  testing::Exposition metrics = now();
  EXPECT_EQ(metrics.size(), 7u);
  EXPECT_GT(metrics.value("process_resident_memory_bytes"), 1 << 20);
  EXPECT_GT(metrics.value("process_virtual_memory_bytes"),
            metrics.value("process_resident_memory_bytes"));
  EXPECT_GE(metrics.value("process_threads"), 1);
  EXPECT_GT(metrics.value("process_max_fds"), 10);
  auto seconds = static_cast<double>(std::time(nullptr));
  EXPECT_NEAR(metrics.value("process_start_time_seconds"), seconds, 600);
  EXPECT_LT(metrics.value("process_cpu_seconds_total"), 600);
}

TEST(ProcessMetrics, FollowTheDescriptors) {
  double before = now().value("process_open_fds");
  int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  EXPECT_EQ(now().value("process_open_fds"), before + 1);
  ::close(fd);
  EXPECT_EQ(now().value("process_open_fds"), before);
}

TEST(ProcessMetrics, AreRightWhateverTheProgramIsCalled) {
  double before = now().value("process_threads");
  ASSERT_EQ(::prctl(PR_SET_NAME, "a) S 1 2 (b"), 0);
  EXPECT_EQ(now().value("process_threads"), before);
}

TEST(Exposition, TheTestsReaderRefusesWhatAScraperMay) {
  const std::string head = "# HELP a_total Help.\n# TYPE a_total counter\n";
  EXPECT_NO_THROW(testing::Exposition(head + "a_total{l=\"x\\\"y\",m=\"\"} 1\na_total 2.5e3\n"));
  for (const std::string& bad :
       {std::string(""), head + "a_total 1", head + "a_total\n", head + "a_total x\n",
        head + "a_total -1\n", head + "b_total 1\n", head + "a_total 1\na_total 2\n", head + head,
        std::string("# TYPE a_total counter\n"), head + "a_total{l=\"x} 1\n",
        head + "a_total{l=\"\\x\"} 1\n", std::string("# HELP a Help.\n# TYPE a counter\n")}) {
    EXPECT_THROW(testing::Exposition{bad}, std::runtime_error) << bad;
  }
  const std::string histogram = "# HELP h Help.\n# TYPE h histogram\n";
  EXPECT_NO_THROW(testing::Exposition(
      histogram + "h_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n"));
  EXPECT_THROW(
      testing::Exposition{histogram +
                          "h_bucket{le=\"1\"} 3\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n"},
      std::runtime_error);
  EXPECT_THROW(testing::Exposition{histogram + "h_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 3\n"},
               std::runtime_error);
}

}  // namespace
}  // namespace hearth::daemon
