// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sandbox/sys/log.h"

// Log lines as journald entries: each field becomes HEARTH_<NAME>, so that `journalctl
// HEARTH_TENANT=a` finds them.
namespace hearth::daemon::journal {

bool is_stderr();  // JOURNAL_STREAM names the file behind descriptor 2
void write(sys::log::Level level, std::string_view message,
           std::initializer_list<sys::log::Field> fields);

}  // namespace hearth::daemon::journal
