// SPDX-License-Identifier: Apache-2.0
#include "cli/show.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/failure.h"
#include "cli/rows.h"
#include "cli/text.h"
#include "cli/units.h"

namespace hearth::cli {
namespace {

std::string plain(const Json& value) {
  if (value.is_null()) return {};
  if (value.is_string()) return value.get<std::string>();
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  if (value.is_array() &&
      std::all_of(value.begin(), value.end(), [](const Json& v) { return v.is_string(); })) {
    std::string joined;
    for (const Json& item : value) joined += (joined.empty() ? "" : ", ") + item.get<std::string>();
    return joined;
  }
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string human(const std::string& member, const Json& value) {
  if (value.is_string() && (member.ends_with("_at") || member == "time"))
    return human_time(value.get<std::string>());
  if (!value.is_number_unsigned()) return plain(value);
  if (member.ends_with("_at_us")) return plain(value);  // a time, not a duration
  uint64_t number = value.get<uint64_t>();
  if (member.ends_with("_bytes") || member == "bytes" || member.ends_with("_bytes_max"))
    return human_bytes(number);
  if (member.ends_with("_us")) return human_us(number);
  if (member == "gb_ms") return fmt::format("{:.3f} GB-s", static_cast<double>(number) / 1e3);
  if (member.ends_with("_ms")) return fmt::format("{} ms", human_count(number));
  if (member.ends_with("_s")) return human_seconds(number);
  if (member.ends_with("_percent")) return fmt::format("{} %", number);
  if (member.ends_with("_kb")) return fmt::format("{} KiB", number);
  if (member.ends_with("_mb")) return fmt::format("{} MiB", number);
  return std::to_string(number);
}

void write_members(const Json& object, size_t indent) {
  size_t width = 0;
  for (const auto& [name, value] : object.items()) width = std::max(width, name.size());
  for (const auto& [name, value] : object.items()) {
    std::string left(indent, ' ');
    left += escape_controls(name);
    if (value.is_object() && !value.empty()) {
      out().write(left + "\n");
      write_members(value, indent + 2);
    } else if (value.is_array() && !value.empty() && value.front().is_object()) {
      out().write(
          fmt::format("{}{}  {}\n", left, std::string(width - name.size(), ' '),
                      fmt::format("{} {}", value.size(), value.size() == 1 ? "row" : "rows")));
    } else {
      std::string text = one_line(human(name, value));
      out().write(fmt::format("{}{}  {}\n", left, std::string(width - name.size(), ' '),
                              text.empty() || text == "{}" || text == "[]" ? "-" : text));
    }
  }
}

Json parse_row(std::string_view text) {
  Json row = Json::parse(text, nullptr, false);
  if (row.is_discarded() || !row.is_object())
    throw Failure(Status::kRefused, "hearthd sent a row that is no JSON object");
  return row;
}

// Passes the array on as it arrives; a newline ends it.
void pass_list_on(const Client& client, Request request) {
  request.on_body = [](std::string_view bytes) {
    while (!bytes.empty() && bytes.back() == '\n') bytes.remove_suffix(1);
    out().write(bytes);
  };
  client.request(request);
  out().write("\n");
}

}  // namespace

std::string cell(const Json& row, const std::string& member) {
  auto found = row.find(member);
  return found == row.end() ? std::string() : human(member, *found);
}

uint64_t number(const Json& row, const std::string& member) {
  auto found = row.find(member);
  return found != row.end() && found->is_number_unsigned() ? found->get<uint64_t>() : 0;
}

std::string word(const Json& row, const std::string& member) {
  auto found = row.find(member);
  return found != row.end() && found->is_string() ? found->get<std::string>() : std::string();
}

void show_list(const Globals& globals, const std::string& path, const std::vector<Column>& columns,
               const std::string& nothing) {
  Request request;
  request.path = path;
  if (globals.json) return pass_list_on(globals.client(), std::move(request));
  std::vector<Heading> headings;
  for (const Column& column : columns) headings.push_back(column.heading);
  Table table(out(), std::move(headings));
  RowSplitter rows([&](std::string_view text) {
    Json row = parse_row(text);
    std::vector<std::string> cells;
    for (const Column& column : columns)
      cells.push_back(column.text ? column.text(row) : cell(row, column.member));
    table.add(std::move(cells));
  });
  request.on_body = [&](std::string_view bytes) { rows.feed(bytes); };
  globals.client().request(request);
  rows.finish();
  table.finish();
  if (table.rows() == 0) note(nothing);
}

void show_object(const Globals& globals, const Json& object) {
  if (globals.json || !object.is_object()) return show_json(object);
  // What a thing is called comes first, however hearthd orders its members.
  Json ordered = Json::object();
  for (const char* name : {"id", "name", "tenant", "function", "version", "outcome"})
    if (object.contains(name)) ordered[name] = object[name];
  for (const auto& [name, value] : object.items())
    if (!ordered.contains(name)) ordered[name] = value;
  write_members(ordered, 0);
}

void show_json(const Json& value) {
  out().write(value.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
}

}  // namespace hearth::cli
