// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <csignal>
#include <sstream>

#include "cli/app.h"
#include "cli/failure.h"
#include "cli/output.h"
#include "cli/text.h"
#include "cli/usage_error.h"
#include "sandbox/sys/error.h"

namespace hearth::cli {
namespace {

int fail(const Failure& failure) {
  try {
    out().flush();  // what arrived before the failure
  } catch (...) {
    // The failure itself is what counts.
  }
  note("error: " + one_line(failure.what()));
  std::string_view details = failure.details();
  while (details.ends_with('\n')) details.remove_suffix(1);
  if (!details.empty()) note(details);
  return static_cast<int>(failure.status());
}

// The commands run inside parse(): each is the callback of its sub-command.
Status run(CLI::App& app, int argc, char** argv) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() != 0) throw Failure(Status::kUsage, explain(app, error));
    std::ostringstream text;  // --help or --version
    (void)app.exit(error, text, text);
    out().write(text.str());
  }
  out().flush();
  return Status::kSuccess;
}

int main_guarded(int argc, char** argv) {
  Globals globals;
  CLI::App app;
  set_up(app, globals);
  try {
    return static_cast<int>(run(app, argc, argv));
  } catch (const ReaderGone&) {
    return static_cast<int>(Status::kSuccess);
  } catch (const Failure& failure) {
    return fail(failure);
  } catch (const sys::Error& error) {
    return fail(Failure(Status::kRefused, error.what()));
  } catch (const std::exception& error) {
    return fail(Failure(Status::kRefused, std::string("unexpected: ") + error.what()));
  }
}

}  // namespace
}  // namespace hearth::cli

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);  // a reader that leaves is an error of write(2), not a death
  return hearth::cli::main_guarded(argc, argv);
}
