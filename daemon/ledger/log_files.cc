// SPDX-License-Identifier: Apache-2.0
#include "daemon/ledger/log_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>

namespace hearth::ledger {
namespace {

bool is_name(const std::string& name) {
  return !name.empty() && name.size() < 64 && name[0] != '.' &&
         name.find_first_of(std::string_view("/\0", 2)) == std::string::npos;
}

}  // namespace

std::string log_folder(const std::string& dir, const std::string& tenant,
                       const std::string& function) {
  if (!is_name(tenant) || !is_name(function)) return {};
  return dir + "/" + tenant + "/" + function;
}

std::string log_file(const std::string& folder, uint64_t number) {
  return fmt::format("{}/{:08}.log", folder, number);
}

std::vector<uint64_t> log_numbers(const std::string& folder) {
  std::vector<uint64_t> numbers;
  std::error_code gone;
  std::filesystem::directory_iterator at(folder, gone), end;
  for (; !gone && at != end; at.increment(gone)) {
    std::string name = at->path().filename();
    uint64_t number = 0;
    auto parsed = std::from_chars(name.data(), name.data() + name.size(), number);
    std::string_view rest(parsed.ptr, name.data() + name.size());
    if (parsed.ec == std::errc() && rest == ".log" && number > 0) numbers.push_back(number);
  }
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

}  // namespace hearth::ledger
