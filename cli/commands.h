// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/globals.h"

namespace CLI {
class App;
}

// Each adds one command (its options, its help and what it does) to `app`. `globals` outlives the
// app and is filled in when the command runs. A command ends by returning, or by throwing Failure
// or sys::Error.
namespace hearth::cli {

void add_commands(CLI::App& app, const Globals& globals);  // all of those below

void add_deploy(CLI::App& app, const Globals& globals);
void add_invoke(CLI::App& app, const Globals& globals);
void add_list(CLI::App& app, const Globals& globals);
void add_describe(CLI::App& app, const Globals& globals);
void add_versions(CLI::App& app, const Globals& globals);
void add_rollback(CLI::App& app, const Globals& globals);
void add_delete(CLI::App& app, const Globals& globals);
void add_logs(CLI::App& app, const Globals& globals);
void add_calls(CLI::App& app, const Globals& globals);
void add_call(CLI::App& app, const Globals& globals);
void add_usage(CLI::App& app, const Globals& globals);
void add_status(CLI::App& app, const Globals& globals);
void add_top(CLI::App& app, const Globals& globals);
void add_tenant(CLI::App& app, const Globals& globals);
void add_image(CLI::App& app, const Globals& globals);
void add_doctor(CLI::App& app, const Globals& globals);
void add_completions(CLI::App& app, const Globals& globals);

}  // namespace hearth::cli
