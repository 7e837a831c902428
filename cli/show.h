// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "cli/client.h"
#include "cli/globals.h"
#include "cli/json.h"
#include "cli/table.h"

// What hearthd answered, for eyes or as JSON.
namespace hearth::cli {

// A column of a list: a heading and the member of each row that it shows. How a value reads follows
// from the end of its name: _bytes, _us, _ms, _mb, _at, _s.
struct Column {
  Heading heading;
  std::string member;
  std::function<std::string(const Json& row)> text;  // instead of the member's own way
};

// A list, row by row as it arrives: `--json` passes hearthd's array on, else a table. `nothing`
// goes to stderr when it is empty.
void show_list(const Globals& globals, const std::string& path, const std::vector<Column>& columns,
               const std::string& nothing);

// One object: `--json` as it is, else a line per member, nested ones indented.
void show_object(const Globals& globals, const Json& object);

void show_json(const Json& value);

// What `member` of a row says, in human units; empty when it is absent or null.
std::string cell(const Json& row, const std::string& member);

// A number of a row, 0 when it is absent.
uint64_t number(const Json& row, const std::string& member);
std::string word(const Json& row, const std::string& member);

}  // namespace hearth::cli
