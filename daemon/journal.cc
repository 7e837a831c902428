// SPDX-License-Identifier: Apache-2.0
#include "daemon/journal.h"

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <fmt/format.h>
#include <sys/stat.h>
#include <systemd/sd-journal.h>

#include <cctype>
#include <cstdlib>
#include <string>
#include <vector>

namespace hearth::daemon::journal {

bool is_stderr() {
  const char* stream = std::getenv("JOURNAL_STREAM");
  struct stat status = {};
  if (stream == nullptr || ::fstat(2, &status) != 0) return false;
  return fmt::format("{}:{}", status.st_dev, status.st_ino) == stream;
}

void write(sys::log::Level level, std::string_view message,
           std::initializer_list<sys::log::Field> fields) {
  std::string line = sys::log::format_line(level, message, fields);
  if (!line.empty()) line.pop_back();
  std::vector<std::string> entries = {fmt::format("MESSAGE={}", line),
                                      fmt::format("PRIORITY={}", int(level)),
                                      "SYSLOG_IDENTIFIER=hearthd"};
  for (const sys::log::Field& field : fields) {
    std::string name = "HEARTH_";
    for (char c : field.name)
      name += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    entries.push_back(fmt::format("{}={}", name, field.value));
  }
  std::vector<iovec> parts;
  for (std::string& entry : entries) parts.push_back({entry.data(), entry.size()});
  (void)::sd_journal_sendv(parts.data(),
                           static_cast<int>(parts.size()));  // nowhere left to report a failure
}

}  // namespace hearth::daemon::journal
