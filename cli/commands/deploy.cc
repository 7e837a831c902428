// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/failure.h"
#include "cli/output.h"
#include "cli/pack.h"
#include "cli/progress.h"
#include "cli/show.h"
#include "cli/units.h"

namespace hearth::cli {
namespace {

struct Options {
  std::string path;
  bool no_verify = false;
};

// The bundle as an archive: the folder packed, or the archive as it is.
Packed bundle_of(const std::string& path, Progress& progress) {
  struct stat stat {};
  if (::stat(path.c_str(), &stat) != 0)
    throw Failure(Status::kUsage,
                  fmt::format("cannot deploy '{}': {}", path, std::strerror(errno)));
  if (S_ISDIR(stat.st_mode)) {
    if (::access((path + "/function.toml").c_str(), F_OK) != 0) {
      throw Failure(Status::kRefused,
                    fmt::format("'{}' holds no function.toml; that file names the function, its "
                                "runtime and its handler (see function.toml(5))",
                                path));
    }
    return pack_folder(path, [&](uint64_t files, uint64_t bytes) {
      progress.show(fmt::format("packing: {} files, {}", human_count(files), human_bytes(bytes)));
    });
  }
  if (!S_ISREG(stat.st_mode))
    throw Failure(Status::kUsage,
                  fmt::format("cannot deploy '{}': it is neither a folder nor a file", path));
  Packed packed;
  packed.file.reset(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!packed.file)
    throw Failure(Status::kUsage, fmt::format("cannot open '{}': {}", path, std::strerror(errno)));
  packed.bytes = static_cast<uint64_t>(stat.st_size);
  return packed;
}

void run(const Options& options, const Globals& globals) {
  Progress progress;
  Packed bundle = bundle_of(options.path, progress);
  Request request;
  request.method = "POST";
  request.path = globals.functions_path() + (options.no_verify ? "?verify=0" : "");
  request.headers.push_back("Content-Type: application/octet-stream");
  request.timeout =
      std::chrono::seconds(0);  // hearthd bounds the time that the handler may take to load
  request.upload.fd = bundle.file.get();
  request.upload.fd_bytes = bundle.bytes;
  request.on_sent = [&](uint64_t sent) {
    if (sent < bundle.bytes) {
      progress.show(fmt::format("sending: {} of {}", human_bytes(sent), human_bytes(bundle.bytes)));
    } else {
      progress.show(fmt::format(
          "{}: {} s", options.no_verify ? "unpacking" : "unpacking and loading the handler",
          progress.elapsed().count()));
    }
  };
  Answer answer = globals.client().request(request);
  progress.clear();
  Json version = Json::parse(answer.body, nullptr, false);
  if (!version.is_object())
    throw Failure(Status::kRefused, "hearthd's answer to the deploy is no JSON object");
  if (globals.json) return show_json(version);
  // Not changed: the same content was live already.
  bool changed = version.value("changed", Json(true)) != false;
  out().write(fmt::format(
      "{} {} version {} ({}, {})\n", changed ? "deployed" : "unchanged:", cell(version, "name"),
      cell(version, "version"), cell(version, "runtime"), word(version, "hash").substr(0, 12)));
}

}  // namespace

void add_deploy(CLI::App& app, const Globals& globals) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "deploy", "Deploy a function: a folder with a function.toml, or a .zip or .tar.gz of one");
  command->add_option("PATH", options->path, "The folder or archive")
      ->required()
      ->type_name("DIR|ARCHIVE");
  command->add_flag("--no-verify", options->no_verify,
                    "Go live without trying whether the handler loads");
  command->footer(
      "A folder is packed without .git, .hg, .svn, __pycache__, node_modules/.cache and what its\n"
      ".hearthignore names (one glob per line).");
  command->callback([options, &globals] { run(*options, globals); });
}

}  // namespace hearth::cli
