// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstring>
#include <memory>

#include "cli/commands.h"
#include "cli/failure.h"
#include "cli/output.h"
#include "sandbox/sys/fd.h"

namespace hearth::cli {
namespace {

struct Options {
  std::string name, data, type;
  bool meter = false;
};

// Where the event comes from. `file` keeps an opened file open as long as it is sent.
Upload upload_of(const std::string& data, sys::Fd& file) {
  if (data != "-" && !data.starts_with('@')) return {data, -1, {}};
  int fd = STDIN_FILENO;
  if (data != "-") {
    file.reset(::open(data.c_str() + 1, O_RDONLY | O_CLOEXEC));
    if (!file)
      throw Failure(Status::kUsage, fmt::format("--data: cannot open '{}': {}", data.substr(1),
                                                std::strerror(errno)));
    fd = file.get();
  }
  struct stat stat {};
  if (::fstat(fd, &stat) != 0) throw Failure(Status::kUsage, "--data: standard input is closed");
  if (S_ISDIR(stat.st_mode))
    throw Failure(Status::kUsage, fmt::format("--data: '{}' is a folder", data.substr(1)));
  off_t at = S_ISREG(stat.st_mode) ? ::lseek(fd, 0, SEEK_CUR) : -1;
  if (at < 0) return {{}, fd, {}};
  return {{}, fd, static_cast<uint64_t>(stat.st_size > at ? stat.st_size - at : 0)};
}

void run(const Options& options, const Globals& globals) {
  sys::Fd file;
  Request request;
  request.method = "POST";
  request.path = globals.functions_path(options.name, "/invocations");
  request.timeout = std::chrono::seconds(0);  // hearthd has the function's deadline
  request.upload = upload_of(options.data, file);
  std::string type = options.type;
  if (type.empty()) type = request.upload.bytes ? "application/json" : "application/octet-stream";
  request.headers.push_back("Content-Type: " + type);
  if (options.meter) request.headers.push_back("Hearth-Want-Record: 1");
  char last = '\n';
  request.on_body = [&last](std::string_view bytes) {
    out().write(bytes);
    last = bytes.back();
  };
  Answer answer = globals.client().perform(request);
  if (last != '\n' && out().is_terminal()) out().write("\n");
  out().flush();
  std::string record = answer.header("hearth-record");
  if (options.meter && !record.empty()) note(record);
  if (answer.status >= 400)
    throw failure_of(answer.status, answer.body, answer.header("retry-after"));
  if (options.meter && record.empty())
    throw Failure(Status::kRefused, "hearthd sent no record of the call");
}

}  // namespace

void add_invoke(CLI::App& app, const Globals& globals) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("invoke", "Call a function and write its answer to stdout, byte for byte");
  command->add_option("FUNCTION", options->name, "The function")->required()->type_name("");
  command
      ->add_option_function<std::string>(
          "-d,--data", [options](const std::string& data) { options->data = data; },
          "The event: JSON as it stands here, @FILE, or - for standard input (default: none)")
      ->type_name("JSON|@FILE|-");
  command->add_option("--type", options->type, "Media type of the event")->type_name("MIME");
  command->add_flag("--meter", options->meter,
                    "Write the call's record to stderr, as one line of JSON");
  command->callback([options, &globals] { run(*options, globals); });
}

}  // namespace hearth::cli
