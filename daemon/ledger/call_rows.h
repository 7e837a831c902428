// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "daemon/ledger/call_blocks.h"
#include "daemon/sqlite/database.h"

// The form that records had before there were blocks: a row each.
namespace hearth::ledger {

extern const char* const kRowSchema;     // the tables of that time, with usage
extern const char* const kSetRowsAside;  // frees the name and the indexes

// Moves what rows there are into the blocks, some at a time, so that whoever is killed meanwhile
// goes on where he was. 5 s for a million. Throws sys::Error.
void move_rows(sqlite::Database& database, CallBlocks& blocks);

}  // namespace hearth::ledger
