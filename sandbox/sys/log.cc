// SPDX-License-Identifier: Apache-2.0
#include "sandbox/sys/log.h"

#include <unistd.h>

namespace hearth::sys::log {
namespace {

Level level_max = Level::kInfo;

const char* name_of(Level level) {
  switch (level) {
    case Level::kError:
      return "error";
    case Level::kWarning:
      return "warning";
    case Level::kInfo:
      return "info";
    case Level::kDebug:
      return "debug";
  }
  return "?";
}

// One log line is one line, whatever bytes a client or a function put into a value.
void append_escaped(std::string& out, std::string_view text, bool quoted) {
  for (unsigned char c : text) {
    if (c == '\n') {
      out += "\\n";
    } else if (c < 0x20 || c == 0x7f) {
      out += fmt::format("\\x{:02x}", c);
    } else {
      if (quoted && (c == '"' || c == '\\')) out += '\\';
      out += static_cast<char>(c);
    }
  }
}

void write_stderr(Level level, std::string_view message, std::initializer_list<Field> fields) {
  std::string line = format_line(level, message, fields);
  (void)!::write(STDERR_FILENO, line.data(), line.size());  // nowhere left to report a failure
}

Sink sink = write_stderr;

}  // namespace

void set_level(Level level) {
  level_max = level;
}
void set_sink(Sink s) {
  sink = s;
}

void write(Level level, std::string_view message, std::initializer_list<Field> fields) {
  if (level <= level_max) sink(level, message, fields);
}

std::string format_line(Level level, std::string_view message,
                        std::initializer_list<Field> fields) {
  std::string line = name_of(level);
  line += ' ';
  append_escaped(line, message, false);
  for (const Field& field : fields) {
    line += fmt::format(" {}=", field.name);
    bool quoted = field.value.empty() || field.value.find_first_of(" \"\\=") != std::string::npos;
    if (quoted) line += '"';
    append_escaped(line, field.value, quoted);
    if (quoted) line += '"';
  }
  line += '\n';
  return line;
}

}  // namespace hearth::sys::log
