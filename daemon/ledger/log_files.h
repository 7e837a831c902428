// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

// The files of one function's log: DIR/TENANT/FUNCTION/00000001.log and so on. The highest number
// is written to; files are never renamed, so a number and an offset stay a place for as long as the
// file lives.
namespace hearth::ledger {

// Empty when a name could lead out of the folder; the API accepts no such name.
std::string log_folder(const std::string& dir, const std::string& tenant,
                       const std::string& function);
std::string log_file(const std::string& folder, uint64_t number);
std::vector<uint64_t> log_numbers(const std::string& folder);  // in order; empty: no such folder

}  // namespace hearth::ledger
