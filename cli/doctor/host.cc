// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "cli/doctor/doctor.h"

namespace hearth::cli::doctor {

std::optional<std::string> Host::read(const std::string& path) const {
  std::ifstream file(this->path(path));
  if (!file) return std::nullopt;
  std::stringstream text;
  text << file.rdbuf();
  if (file.bad()) return std::nullopt;
  std::string content = text.str();
  while (!content.empty() && content.back() == '\n') content.pop_back();
  return content;
}

bool Host::exists(const std::string& path) const {
  return ::access(this->path(path).c_str(), F_OK) == 0;
}

std::string cgroup_mount(const Host& host) {
  // "36 35 98:0 /root /mount/point options … - type source options"
  std::stringstream lines(host.read("/proc/self/mountinfo").value_or(""));
  for (std::string line; std::getline(lines, line);) {
    if (line.find(" - cgroup2 ") == std::string::npos) continue;
    std::stringstream words(line);
    std::string word;
    for (int i = 0; i < 5; ++i) words >> word;
    return word;
  }
  return {};
}

}  // namespace hearth::cli::doctor
