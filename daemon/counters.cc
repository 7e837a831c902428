// SPDX-License-Identifier: Apache-2.0
#include "daemon/counters.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <string_view>

namespace hearth::daemon {
namespace {

constexpr size_t kFileBytesMax = 16384;  // 2,000 process ids

// Reads from the start of a cgroup file into `buffer`; empty when the cgroup is gone.
std::string_view read_start(int fd, std::array<char, kFileBytesMax>& buffer) {
  if (fd < 0) return {};
  ssize_t n = ::pread(fd, buffer.data(), buffer.size(), 0);
  return n > 0 ? std::string_view(buffer.data(), static_cast<size_t>(n)) : std::string_view();
}

uint64_t number_at(std::string_view text) {
  uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

// Flat keyed files are lines of `key value`.
uint64_t key_in(std::string_view text, std::string_view key) {
  while (!text.empty()) {
    size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    if (line.size() > key.size() && line.starts_with(key) && line[key.size()] == ' ') {
      return number_at(line.substr(key.size() + 1));
    }
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return 0;
}

// Each call reads them: in one pass.
CpuCounters parse_cpu(std::string_view text) {
  CpuCounters cpu;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    std::string_view key = line.substr(0, line.find(' '));
    if (key.size() == line.size()) continue;
    uint64_t value = number_at(line.substr(key.size() + 1));
    if (key == "user_usec") cpu.user_us = value;
    if (key == "system_usec") cpu.system_us = value;
    if (key == "throttled_usec") cpu.throttled_us = value;
  }
  return cpu;
}

// Resident pages less shared ones, from /proc/PID/statm: `size resident shared ...`.
uint64_t anonymous_bytes(std::string_view pid) {
  std::array<char, kFileBytesMax> buffer;
  sys::Fd statm(::open(fmt::format("/proc/{}/statm", pid).c_str(), O_RDONLY | O_CLOEXEC));
  std::string_view text = read_start(statm.get(), buffer);
  size_t first = text.find(' ');
  if (first == std::string_view::npos) return 0;
  size_t second = text.find(' ', first + 1);
  if (second == std::string_view::npos) return 0;
  uint64_t resident = number_at(text.substr(first + 1));
  uint64_t shared = number_at(text.substr(second + 1));
  static const auto page_bytes = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  return resident > shared ? (resident - shared) * page_bytes : 0;
}

template <typename Visit>
void for_each_process(int cgroup_procs_fd, Visit visit) {
  std::array<char, kFileBytesMax> buffer;
  std::string_view text = read_start(cgroup_procs_fd, buffer);
  while (!text.empty()) {
    size_t end = std::min(text.find('\n'), text.size());
    visit(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

}  // namespace

CpuCounters read_cpu(const sandbox::Descriptors& descriptors) {
  std::array<char, kFileBytesMax> buffer;
  return parse_cpu(read_start(descriptors.cpu_stat.get(), buffer));
}

CpuCounters read_cpu_at(const std::string& cgroup_path) {
  std::array<char, kFileBytesMax> buffer;
  sys::Fd fd(::open((cgroup_path + "/cpu.stat").c_str(), O_RDONLY | O_CLOEXEC));
  return parse_cpu(read_start(fd.get(), buffer));
}

uint64_t read_key(int fd, const char* key) {
  std::array<char, kFileBytesMax> buffer;
  return key_in(read_start(fd, buffer), key);
}

uint64_t read_value(int fd) {
  std::array<char, kFileBytesMax> buffer;
  return number_at(read_start(fd, buffer));
}

uint32_t count_processes(int fd) {
  std::array<char, kFileBytesMax> buffer;
  std::string_view text = read_start(fd, buffer);
  return static_cast<uint32_t>(std::count(text.begin(), text.end(), '\n'));
}

uint64_t sum_anonymous_memory(int cgroup_procs_fd) {
  uint64_t sum = 0;
  for_each_process(cgroup_procs_fd, [&](std::string_view pid) { sum += anonymous_bytes(pid); });
  return sum;
}

uint64_t largest_anonymous_memory(int cgroup_procs_fd) {
  uint64_t most = 0;
  for_each_process(cgroup_procs_fd,
                   [&](std::string_view pid) { most = std::max(most, anonymous_bytes(pid)); });
  return most;
}

}  // namespace hearth::daemon
