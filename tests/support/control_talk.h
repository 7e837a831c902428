// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <string>

#include "sandbox/control.h"

// Waiting on hearth-init and on what it started, with a bound. All throw when it is over.
namespace hearth::sandbox::test {

using std::chrono::milliseconds;

control::Event next_event(int control, milliseconds patience = std::chrono::seconds(20));
// As next_event, but throw for another kind (Exited is passed over unless asked for). A Failed
// instead of a Started is thrown as the sys::Error that it was.
control::Started next_started(int control);
Failure next_failure(int control);
control::Exited next_exited(int control);

// Reads until end of file.
std::string read_all(int fd, milliseconds patience = std::chrono::seconds(20));

// Sends a line to the fixture (tests/unit/sandbox/init_fixture.cc) over its channel and returns the
// line it answers with, or "end of file".
std::string tell(const control::Started& process, const std::string& command);

}  // namespace hearth::sandbox::test
