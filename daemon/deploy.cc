// SPDX-License-Identifier: Apache-2.0
#include "daemon/deploy.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <filesystem>

#include "daemon/loop/offload.h"
#include "daemon/runtime.h"
#include "sandbox/sys/error.h"
#include "sandbox/sys/fail_point.h"
#include "sandbox/sys/log.h"

namespace hearth::daemon {
namespace fs = std::filesystem;
using loop::Task;
using registry::Bundle;
using registry::Manifest;
using registry::Version;
namespace {

// A folder that is unpacked off the loop thread for a frame that may be gone by the end of that.
// Whoever is last to let go of it removes it.
class Upload {
 public:
  explicit Upload(std::string path) : path_(std::move(path)) {}
  const std::string& path() const { return path_; }

  // On the loop thread. True: the folder is there, and the caller's to remove.
  bool leave() { return state_.exchange(State::kLeft) == State::kUnpacked; }
  // On the thread that unpacks.
  void unpacked() {
    if (state_.exchange(State::kUnpacked) != State::kLeft) return;
    std::error_code ignored;  // what stays is removed at the next start
    fs::remove_all(path_, ignored);
  }

 private:
  enum class State { kUnpacking, kUnpacked, kLeft };
  std::string path_;
  std::atomic<State> state_ = State::kUnpacking;
};

CallError bad_bundle(std::string message, std::string limit = {}, std::string value = {}) {
  CallError e;
  e.status = 400;
  e.kind = "bad_request";
  e.stage = "deploy";
  e.message = std::move(message);
  e.limit = std::move(limit);
  e.value = std::move(value);
  return e;
}

CallError no_such(int status, std::string message) {
  CallError e = bad_bundle(std::move(message));
  e.status = status;
  e.kind = status == 404 ? "not_found" : "conflict";
  return e;
}

CallError load_refusal(const StartFailure& failure, const std::string& output) {
  CallError e;
  e.stage = "load";
  if (!failure.code_failed) {
    e.status = 503;
    e.kind = "overloaded";
    e.message = fmt::format("no sandbox to try the code in: {} '{}': {}", failure.failure.step,
                            failure.failure.object, std::strerror(failure.failure.error));
    e.retry_after = std::chrono::seconds(5);
    return e;
  }
  e.status = 400;
  e.kind = "load_error";
  e.message = failure.message;
  e.type = failure.type;
  e.stack = failure.stack.empty() ? output : failure.stack;
  if (failure.limit_ms != 0) {
    e.limit = "deploy.load_timeout_ms";
    e.value = fmt::format("{}", failure.limit_ms);
  }
  return e;
}

}  // namespace

Task<std::variant<Deployed, CallError>> Deployer::deploy(std::string tenant,
                                                         std::string archive_path, bool verify) {
  if (services_.registry.tenant(tenant) == nullptr)
    co_return no_such(404, fmt::format("no tenant '{}'", tenant));
  auto upload = std::make_shared<Upload>(
      fmt::format("{}/uploads/unpacked-{}", options_.state_dir, next_folder_++));
  // When this frame ends, unless the folder was renamed away by then.
  struct Leave {
    Trash& trash;
    Upload& upload;
    ~Leave() {
      if (upload.leave()) trash.take(upload.path());
    }
  } leave{trash_, *upload};
  sys::fail_point("deploy.received");
  registry::BundleBounds bounds = options_.bundle;
  // Named, because g++ 12 destroys a lambda that is a temporary of a co_await expression twice.
  auto work = [archive_path, upload, bounds] {
    auto result = registry::unpack(archive_path, upload->path(), bounds);
    upload->unpacked();
    return result;
  };
  auto unpacked = co_await loop::offload(services_.loop, std::move(work));
  sys::fail_point("deploy.unpacked");
  if (auto* bad = std::get_if<registry::BundleError>(&unpacked)) {
    co_return bad_bundle(bad->message, bad->limit, bad->value);
  }
  co_return co_await install(std::move(tenant), upload->path(),
                             std::move(std::get<Bundle>(unpacked)), verify);
}

Task<std::variant<Deployed, CallError>> Deployer::install(std::string tenant, std::string folder,
                                                          Bundle bundle, bool verify) {
  auto parsed = registry::parse_manifest(bundle.manifest_text, options_.manifest);
  if (auto* bad = std::get_if<registry::ManifestError>(&parsed)) {
    co_return bad_bundle(
        fmt::format("function.toml:{}:{}: {}", bad->line, bad->column, bad->message), bad->limit,
        bad->value);
  }
  Manifest manifest = std::move(std::get<Manifest>(parsed));
  // Which image that is does not change with the configuration later, and it is in use.
  manifest.image = image_of(manifest, options_.default_image);
  if (auto bad = check_files(manifest, folder)) co_return std::move(*bad);
  if (auto bad = check_reads(manifest)) co_return std::move(*bad);
  sys::fail_point("deploy.checked");

  // What is not live by the end of this frame disappears with it, also when the host fails or the
  // client goes away during the trial.
  struct Candidate {
    Deployer& deployer;
    std::string hash;
    std::shared_ptr<const Version> version;
    ~Candidate() { deployer.take_back(version, hash); }
  } candidate{*this, bundle.hash, nullptr};
  if (!fs::exists(bundle_path(bundle.hash))) {
    sys::check(::rename(folder.c_str(), bundle_path(bundle.hash).c_str()), "rename",
               bundle_path(bundle.hash));
  }
  sys::fail_point("deploy.placed");
  auto live = services_.registry.find(tenant, manifest.name);
  auto version = services_.registry.add(tenant, bundle.hash, bundle.bytes, manifest);
  if (version == live) co_return Deployed{version, false};
  candidate.version = version;
  sys::fail_point("deploy.added");

  std::optional<StartFailure> failure;
  std::string output;
  if (verify) failure = co_await services_.fleet.trial(version, &output);
  sys::fail_point("deploy.tried");
  auto kept = services_.registry.versions(tenant, manifest.name);
  if (std::find(kept.begin(), kept.end(), version) == kept.end()) {
    co_return no_such(409, fmt::format("'{}' was deleted while it was deployed", manifest.name));
  }
  if (failure) co_return load_refusal(*failure, output);
  go_live(version);
  co_return Deployed{version, true};
}

std::optional<CallError> Deployer::check_files(const Manifest& manifest,
                                               const std::string& folder) const {
  std::string image = image_of(manifest, options_.default_image);
  if (!image_exists(image)) {
    return bad_bundle(
        fmt::format("no image '{}' for runtime {}; make it with `hearth image build {}`", image,
                    registry::name_of(manifest.runtime), image),
        "image", image);
  }
  if (wants_json(manifest.runtime)) return std::nullopt;
  std::string program = folder + "/" + manifest.handler;
  struct stat status = {};
  if (::stat(program.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) {
    return bad_bundle(fmt::format("the bundle has no file '{}'", manifest.handler), "handler",
                      manifest.handler);
  }
  if ((status.st_mode & S_IXUSR) == 0) {
    return bad_bundle(fmt::format("'{}' is not executable; chmod +x it", manifest.handler),
                      "handler", manifest.handler);
  }
  return std::nullopt;
}

// A limit that cannot be enforced is refused, unless weaker ones were accepted.
std::optional<CallError> Deployer::check_reads(const Manifest& manifest) const {
  const std::string& obstacle = services_.disks.obstacle;
  bool limited = manifest.io_mb_per_s != 0 || manifest.io_reads_per_s != 0;
  bool strict = services_.limits == sandbox::LimitsMode::kStrict;
  if (!limited || !strict || obstacle.empty()) return std::nullopt;
  bool bytes = manifest.io_mb_per_s != 0;
  const char* key = bytes ? "io_mb_per_s" : "io_reads_per_s";
  uint32_t value = bytes ? manifest.io_mb_per_s : manifest.io_reads_per_s;
  return bad_bundle(fmt::format("'{}' cannot be enforced on this host: {}", key, obstacle), key,
                    fmt::format("{}", value));
}

bool Deployer::image_exists(const std::string& image) const {
  if (image == "host") return options_.host_image;
  return registry::valid_name(image) &&
         fs::is_directory(fmt::format("{}/images/{}/rootfs", options_.state_dir, image));
}

void Deployer::go_live(const std::shared_ptr<const Version>& version) {
  auto old = services_.registry.find(version->tenant, version->manifest.name);
  services_.registry.go_live(version);
  sys::fail_point("deploy.live");
  services_.fleet.add_function(version);
  if (old && old != version) services_.fleet.retire_function(*old);
  sys::fail_point("deploy.served");
  sys::log::info("function live", {{"tenant", version->tenant},
                                   {"function", version->manifest.name},
                                   {"version", version->number},
                                   {"hash", version->hash}});
}

std::variant<Deployed, CallError> Deployer::rollback(const std::string& tenant,
                                                     const std::string& function,
                                                     std::optional<uint32_t> number) {
  auto old = services_.registry.find(tenant, function);
  if (!old) return no_such(404, fmt::format("tenant '{}' has no function '{}'", tenant, function));
  auto version = services_.registry.rollback(tenant, function, number);
  if (!version) {
    return no_such(number ? 404 : 409,
                   number ? fmt::format("'{}' has no version {}", function, *number)
                          : fmt::format("'{}' has no version before {}", function, old->number));
  }
  if (version == old) return Deployed{version, false};
  sys::fail_point("rollback.live");
  services_.fleet.add_function(version);
  services_.fleet.retire_function(*old);
  return Deployed{version, true};
}

Task<std::optional<CallError>> Deployer::remove(std::string tenant, std::string function) {
  auto version = services_.registry.find(tenant, function);
  if (!version)
    co_return no_such(404, fmt::format("tenant '{}' has no function '{}'", tenant, function));
  auto versions = services_.registry.versions(tenant, function);
  services_.registry.remove(tenant, function);
  sys::fail_point("delete.removed");
  services_.fleet.retire_function(*version);
  co_await services_.fleet.function_idle(tenant, function);
  sys::fail_point("delete.idle");
  services_.fleet.prune(tenant, function);
  for (const auto& old : versions) drop_bundle(old->hash);
  sys::fail_point("delete.dropped");
  if (!services_.registry.find(tenant, function)) services_.logs.remove(tenant, function);
  co_return std::nullopt;
}

// A version that was live stays. So does one that the disk does not let go of: the next start
// sweeps it, with its code.
void Deployer::take_back(const std::shared_ptr<const Version>& version, const std::string& hash) {
  try {
    if (version) services_.registry.discard(version);
  } catch (const sys::Error& error) {
    sys::log::warning("version is not discarded", {{"tenant", version->tenant},
                                                   {"function", version->manifest.name},
                                                   {"version", version->number},
                                                   {"error", error.what()}});
  }
  drop_bundle(hash);
}

void Deployer::drop_bundle(const std::string& hash) {
  if (!services_.registry.hash_in_use(hash)) trash_.take(bundle_path(hash));
}

void Deployer::clean_up() {
  trash_.empty();
  fs::remove_all(options_.state_dir + "/uploads");
  fs::create_directory(options_.state_dir + "/uploads");
  for (const fs::directory_entry& entry : fs::directory_iterator(options_.state_dir + "/bundles")) {
    drop_bundle(entry.path().filename());
  }
}

}  // namespace hearth::daemon
