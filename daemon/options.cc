// SPDX-License-Identifier: Apache-2.0
#include "daemon/options.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <filesystem>
#include <iostream>

#include "daemon/build_info.h"

namespace hearth::daemon {
namespace fs = std::filesystem;
namespace {

constexpr const char* kDefaultConfig = "/etc/hearth/hearth.toml";
constexpr int kWrongUsage = 2;

[[noreturn]] void refuse(const std::string& message) {
  std::cerr << "hearthd: " << message << '\n';
  std::exit(kWrongUsage);
}

// The programs are installed beside this one, wherever the prefix was put: PREFIX/sbin/hearthd,
// PREFIX/libexec/hearth.
std::string find_libexec() {
  fs::path self = fs::read_symlink("/proc/self/exe");
  return self.parent_path().parent_path() / "libexec" / "hearth";
}

Config read_config(const std::string& path, bool asked_for) {
  if (!asked_for && !fs::exists(path)) return default_config();
  auto loaded = load_config(path);
  if (auto* error = std::get_if<ConfigError>(&loaded)) {
    refuse(fmt::format("{}:{}:{}: {}", path, error->line, error->column, error->message));
  }
  return std::get<Config>(std::move(loaded));
}

}  // namespace

Options parse_options(int argc, char** argv) {
  CLI::App app("hearthd: runs functions on this host, each call in a sandbox of its own",
               "hearthd");
  Options options;
  std::string state_dir, runtime_dir, listen, limits;
  bool check = false;
  options.config_path = kDefaultConfig;
  auto* config_option =
      app.add_option("--config", options.config_path, "configuration file, see hearth.toml(5)")
          ->type_name("FILE");
  app.add_option("--state-dir", state_dir,
                 "functions, records, images, logs (default /var/lib/hearth)")
      ->type_name("DIR");
  app.add_option("--runtime-dir", runtime_dir, "the management socket (default /run/hearth)")
      ->type_name("DIR");
  auto* listen_option =
      app.add_option("--listen", listen, "HTTP triggers (default 127.0.0.1:8080; \"\" for none)")
          ->type_name("ADDR:PORT");
  app.add_option("--limits", limits,
                 "strict: refuse to start where a limit cannot be enforced; best-effort: use "
                 "weaker means and say so")
      ->check(CLI::IsMember({"strict", "best-effort"}))
      ->type_name("MODE");
  app.add_flag("--check", check, "check the configuration and the host, then exit");
  app.set_version_flag("--version", fmt::format("hearthd {}", kVersion));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    int code = app.exit(error);
    std::exit(code == 0 ? 0 : kWrongUsage);
  }
  options.config = read_config(options.config_path, config_option->count() != 0);
  if (!state_dir.empty()) options.config.state_dir = state_dir;
  if (!runtime_dir.empty()) options.config.runtime_dir = runtime_dir;
  if (listen_option->count() != 0) options.config.listen = listen;
  if (!limits.empty()) {
    options.config.limits =
        limits == "strict" ? sandbox::LimitsMode::kStrict : sandbox::LimitsMode::kBestEffort;
  }
  for (std::string* dir : {&options.config.state_dir, &options.config.runtime_dir})
    *dir = fs::absolute(*dir).lexically_normal();
  options.libexec_dir = find_libexec();
  options.mode = check ? Mode::kCheck : Mode::kServe;
  return options;
}

}  // namespace hearth::daemon
