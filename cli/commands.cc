// SPDX-License-Identifier: Apache-2.0
#include "cli/commands.h"

namespace hearth::cli {

void add_commands(CLI::App& app, const Globals& globals) {
  add_deploy(app, globals);
  add_invoke(app, globals);
  add_list(app, globals);
  add_describe(app, globals);
  add_versions(app, globals);
  add_rollback(app, globals);
  add_delete(app, globals);
  add_logs(app, globals);
  add_calls(app, globals);
  add_call(app, globals);
  add_usage(app, globals);
  add_status(app, globals);
  add_top(app, globals);
  add_tenant(app, globals);
  add_image(app, globals);
  add_doctor(app, globals);
  add_completions(app, globals);
}

}  // namespace hearth::cli
