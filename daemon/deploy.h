// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <variant>

#include "daemon/invocation.h"
#include "daemon/registry/bundle.h"
#include "daemon/registry/manifest.h"
#include "daemon/trash.h"

namespace hearth::daemon {

struct DeployOptions {
  std::string state_dir;
  std::string default_image;
  bool host_image = false;
  registry::BundleBounds bundle;
  registry::ManifestBounds manifest;
};

struct Deployed {
  std::shared_ptr<const registry::Version> version;
  bool changed = true;  // false: the same content was live already
};

// Unpacks an uploaded archive, checks it, loads its code in a sandbox (unless `verify` is off) and
// makes it live in one step. On any refusal, and when the task is destroyed half-way, nothing of it
// remains. Calls in flight finish on the old version.
class Deployer {
 public:
  Deployer(Services& services, DeployOptions options)
      : services_(services),
        options_(std::move(options)),
        trash_(services.loop, options_.state_dir + "/trash") {}

  loop::Task<std::variant<Deployed, CallError>> deploy(std::string tenant, std::string archive_path,
                                                       bool verify);
  std::variant<Deployed, CallError> rollback(const std::string& tenant, const std::string& function,
                                             std::optional<uint32_t> number);
  // Waits for the calls in flight.
  loop::Task<std::optional<CallError>> remove(std::string tenant, std::string function);

  // The images that exist: folders of STATE/images, and `host` if the configuration allows it.
  bool image_exists(const std::string& image) const;

  const std::string& default_image() const { return options_.default_image; }

  // At start: what an interrupted deploy left.
  void clean_up();

 private:
  loop::Task<std::variant<Deployed, CallError>> install(std::string tenant, std::string folder,
                                                        registry::Bundle bundle, bool verify);
  std::optional<CallError> check_reads(const registry::Manifest& manifest) const;
  std::optional<CallError> check_files(const registry::Manifest& manifest,
                                       const std::string& folder) const;
  void go_live(const std::shared_ptr<const registry::Version>& version);
  void take_back(const std::shared_ptr<const registry::Version>& version, const std::string& hash);
  void drop_bundle(const std::string& hash);
  std::string bundle_path(const std::string& hash) const {
    return options_.state_dir + "/bundles/" + hash;
  }

  Services& services_;
  DeployOptions options_;
  uint64_t next_folder_ = 1;
  Trash trash_;
};

}  // namespace hearth::daemon
