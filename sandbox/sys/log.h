// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <initializer_list>
#include <string>
#include <string_view>

namespace hearth::sys::log {

// Values are those of syslog(3), so that a journald prefix needs no table.
enum class Level { kError = 3, kWarning = 4, kInfo = 6, kDebug = 7 };

struct Field {
  std::string name;  // [a-z_]+
  std::string value;
  template <typename T>
  Field(std::string_view n, const T& v) : name(n), value(fmt::format("{}", v)) {}
};

// Messages above this level are dropped. Default: kInfo.
void set_level(Level level);

// Where lines go; the default writes `level message name=value ...` to stderr in one write(2).
using Sink = void (*)(Level, std::string_view message, std::initializer_list<Field> fields);
void set_sink(Sink sink);

// Only programs (hearthd, hearth-spawner, hearth-init) log; library folders throw or return values.
void write(Level level, std::string_view message, std::initializer_list<Field> fields = {});

inline void error(std::string_view m, std::initializer_list<Field> f = {}) {
  write(Level::kError, m, f);
}
inline void warning(std::string_view m, std::initializer_list<Field> f = {}) {
  write(Level::kWarning, m, f);
}
inline void info(std::string_view m, std::initializer_list<Field> f = {}) {
  write(Level::kInfo, m, f);
}
inline void debug(std::string_view m, std::initializer_list<Field> f = {}) {
  write(Level::kDebug, m, f);
}

// `level message name=value name="two words"\n`, control characters escaped. For sinks.
std::string format_line(Level level, std::string_view message, std::initializer_list<Field> fields);

}  // namespace hearth::sys::log
