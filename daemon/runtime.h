// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "daemon/registry/registry.h"
#include "sandbox/control.h"

// What differs between runtimes: the program, its environment, how it is loaded, the image it
// wants.
namespace hearth::daemon {

// The image a version runs in: its own choice, else the configured default, else the runtime's.
std::string image_of(const registry::Manifest& manifest, const std::string& default_image);

// Can its sandboxes begin as generic ones? Not if there is no interpreter to start early, and not
// if its environment must be there when the interpreter starts (LD_*, PYTHON*, NODE_*, MALLOC_*,
// GLIBC_TUNABLES).
bool starts_generic(const registry::Manifest& manifest);

// A zygote where each call gets a process that python3 forks, else a server: its own process 2,
// which a zygote's filter would not let it signal.
sandbox::control::Role role_of(const registry::Manifest& manifest);

// The program of a generic sandbox of this runtime (python3, nodejs).
sandbox::control::Start generic_start(registry::Runtime runtime, sandbox::control::Role role);

// The program of a version. Its environment is the base, the platform's names, the thread-pool
// sizes and the function's own.
sandbox::control::Start start_of(const registry::Version& version);

// The load frame's meta: handler, mode, processes_max, `env:NAME` for each name of start_of's
// environment.
std::string load_meta(const registry::Version& version);

bool is_framed(registry::Runtime runtime);

// Does its handler take JSON, so that a body that is none is refused before a sandbox is spent?
bool wants_json(registry::Runtime runtime);

}  // namespace hearth::daemon
