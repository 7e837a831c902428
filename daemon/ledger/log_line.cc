// SPDX-License-Identifier: Apache-2.0
#include "daemon/ledger/log_line.h"

#include <charconv>

#include "daemon/ledger/timestamp.h"

namespace hearth::ledger {
namespace {

constexpr const char* kStreams[] = {"out", "err", "platform"};

// The text up to the next space, which is skipped; empty when there is no space.
std::string_view next_word(std::string_view& line) {
  size_t end = line.find(' ');
  if (end == std::string_view::npos) return {};
  std::string_view word = line.substr(0, end);
  line.remove_prefix(end + 1);
  return word;
}

bool parse_stream(std::string_view word, LogEntry* entry) {
  entry->continues = word.ends_with('+');
  if (entry->continues) word.remove_suffix(1);
  for (size_t i = 0; i < std::size(kStreams); i++) {
    if (word != kStreams[i]) continue;
    entry->stream = static_cast<Stream>(i);
    return true;
  }
  return false;
}

}  // namespace

const char* name_of(Stream stream) {
  auto index = static_cast<size_t>(stream);
  return index < std::size(kStreams) ? kStreams[index] : "unknown";
}

void append_line(std::string& out, std::string_view time, std::string_view call, Stream stream,
                 bool continues, std::string_view bytes) {
  char length[24];
  char* end = std::to_chars(length, length + sizeof(length), bytes.size()).ptr;
  out.append(time).append(1, ' ').append(call).append(1, ' ').append(name_of(stream));
  if (continues) out += '+';
  out.append(1, ' ').append(length, static_cast<size_t>(end - length)).append(1, ' ');
  out.append(bytes).append(1, '\n');
}

void append_line(std::string& out, const LogEntry& entry) {
  append_line(out, rfc3339(entry.time_us), entry.call.text(), entry.stream, entry.continues,
              entry.bytes);
}

bool parse_line(std::string_view line, LogEntry* entry) {
  if (!parse_rfc3339(next_word(line), &entry->time_us)) return false;
  if (!Ulid::parse(std::string(next_word(line)), &entry->call)) return false;
  if (!parse_stream(next_word(line), entry)) return false;
  std::string_view digits = next_word(line);
  size_t length = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
  if (error != std::errc() || end != digits.data() + digits.size()) return false;
  if (length > kPieceMax || line.size() > length) return false;
  entry->bytes.assign(line);
  return true;
}

}  // namespace hearth::ledger
