// SPDX-License-Identifier: Apache-2.0
#include "daemon/process_metrics.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string_view>

namespace hearth::daemon {
namespace {

template <typename Value>
void sample(std::string& out, std::string_view name, std::string_view type, std::string_view help,
            Value value) {
  fmt::format_to(std::back_inserter(out), "# HELP {0} {2}\n# TYPE {0} {1}\n{0} {3}\n", name, type,
                 help, value);
}

struct ProcessStat {
  uint64_t cpu_ticks = 0, threads = 0, start_ticks = 0, virtual_bytes = 0, resident_pages = 0;
};

// /proc/self/stat: the program's name, in parentheses, may hold anything; fields count from its
// end.
bool read_stat(ProcessStat* stat) {
  std::ifstream file("/proc/self/stat");
  std::string text;
  std::getline(file, text);
  size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return false;
  std::istringstream fields(text.substr(name_end + 1));
  std::string word;
  constexpr int kState = 3, kUser = 14, kSystem = 15, kThreads = 20, kStart = 22, kVirtual = 23,
                kResident = 24;
  for (int field = kState; field <= kResident; field++) {
    if (!(fields >> word)) return false;
    uint64_t value = std::strtoull(word.c_str(), nullptr, 10);
    if (field == kUser || field == kSystem) stat->cpu_ticks += value;
    if (field == kThreads) stat->threads = value;
    if (field == kStart) stat->start_ticks = value;
    if (field == kVirtual) stat->virtual_bytes = value;
    if (field == kResident) stat->resident_pages = value;
  }
  return true;
}

// When the host was started, Unix seconds; 0 if /proc does not say.
uint64_t boot_time() {
  std::ifstream file("/proc/stat");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("btime ")) return std::strtoull(line.c_str() + 6, nullptr, 10);
  }
  return 0;
}

void expose_descriptors(std::string& out) {
  std::error_code hidden;
  std::filesystem::directory_iterator open("/proc/self/fd", hidden);
  if (!hidden) {
    auto count = std::distance(begin(open), end(open)) - 1;  // not the one that is listing
    sample(out, "process_open_fds", "gauge", "Open file descriptors.", count);
  }
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    sample(out, "process_max_fds", "gauge", "Limit of open file descriptors.", limit.rlim_cur);
  }
}

}  // namespace

void expose_process(std::string& out) {
  ProcessStat stat;
  if (read_stat(&stat)) {
    auto ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
    auto page_bytes = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
    sample(out, "process_cpu_seconds_total", "counter", "User and system CPU time.",
           static_cast<double>(stat.cpu_ticks) / ticks);
    sample(out, "process_resident_memory_bytes", "gauge", "Resident memory.",
           stat.resident_pages * page_bytes);
    sample(out, "process_virtual_memory_bytes", "gauge", "Virtual memory.", stat.virtual_bytes);
    sample(out, "process_threads", "gauge", "Threads.", stat.threads);
    if (uint64_t booted = boot_time(); booted != 0) {
      sample(out, "process_start_time_seconds", "gauge", "Start of the process, Unix time.",
             static_cast<double>(booted) + static_cast<double>(stat.start_ticks) / ticks);
    }
  }
  expose_descriptors(out);
}

}  // namespace hearth::daemon
