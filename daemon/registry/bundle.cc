// SPDX-License-Identifier: Apache-2.0
#include "daemon/registry/bundle.h"

#include <fmt/format.h>

#include <optional>

#include "daemon/registry/archive_reader.h"
#include "daemon/registry/bundle_path.h"
#include "daemon/registry/digest.h"
#include "daemon/registry/tree_writer.h"
#include "daemon/settings/reader.h"

namespace hearth::registry {
namespace {

constexpr const char* kManifestName = "function.toml";
// Below this the ratio says nothing: a few bytes may well unpack to a few hundred times as many.
constexpr uint64_t kRatioFromBytes = 1u << 20;

class Unpacking {
 public:
  Unpacking(const std::string& archive_path, const std::string& target, const BundleBounds& bounds)
      : bounds_(bounds), reader_(archive_path, bounds), writer_(target, bounds) {}

  std::variant<Bundle, BundleError> run();

 private:
  std::optional<BundleError> unpack(const Entry& entry);
  std::optional<BundleError> unpack_file(const std::string& path, bool executable);
  std::optional<BundleError> count(uint64_t bytes);
  BundleError no_manifest() const;

  BundleBounds bounds_;
  ArchiveReader reader_;
  TreeWriter writer_;
  uint64_t bytes_ = 0;
  uint32_t headers_ = 0;
  std::optional<std::string> manifest_;
  std::string manifest_elsewhere_;  // "thumb/" when thumb/function.toml was seen
};

std::variant<Bundle, BundleError> Unpacking::run() {
  for (;;) {
    auto next = reader_.next();
    if (auto* error = std::get_if<BundleError>(&next)) return std::move(*error);
    auto& entry = std::get<std::optional<Entry>>(next);
    if (!entry) break;
    // Counts what repeats a folder too; the writer counts what there is to be.
    if (++headers_ > bounds_.entries_max) {
      return BundleError{fmt::format("the archive has more than {} entries", bounds_.entries_max),
                         fmt::format("entries<={}", bounds_.entries_max), std::to_string(headers_)};
    }
    if (auto error = unpack(*entry)) return std::move(*error);
  }
  if (!manifest_) return no_manifest();
  writer_.keep();
  return Bundle{writer_.hash(), bytes_, writer_.entries(), std::move(*manifest_)};
}

std::optional<BundleError> Unpacking::unpack(const Entry& entry) {
  auto cleaned = clean_path(entry.name, bounds_);
  if (auto* error = std::get_if<BundleError>(&cleaned)) return std::move(*error);
  const std::string& path = std::get<std::string>(cleaned);
  if (path.empty()) {
    if (entry.kind == EntryKind::kFolder) return std::nullopt;
    return BundleError{"the archive has an entry without a name", {}, {}};
  }
  switch (entry.kind) {
    case EntryKind::kFolder:
      return writer_.add_folder(path);
    case EntryKind::kFile:
      return unpack_file(path, entry.executable);
    case EntryKind::kLink:
      break;
  }
  if (auto error = check_link(path, entry.link, bounds_)) return error;
  return writer_.add_link(path, entry.link);
}

std::optional<BundleError> Unpacking::unpack_file(const std::string& path, bool executable) {
  if (auto error = writer_.open_file(path, executable)) return error;
  bool is_manifest = path == kManifestName;
  size_t slash = path.find('/');
  if (slash != std::string::npos && path.substr(slash + 1) == kManifestName) {
    manifest_elsewhere_ = path.substr(0, slash + 1);
  }
  if (is_manifest) manifest_.emplace();
  Sha256 sha;
  for (;;) {
    auto read = reader_.read();
    if (auto* error = std::get_if<BundleError>(&read)) return std::move(*error);
    auto bytes = std::get<std::span<const std::byte>>(read);
    if (bytes.empty()) break;
    if (auto error = count(bytes.size())) return error;
    writer_.write(bytes);
    sha.add(bytes);
    if (!is_manifest) continue;
    manifest_->append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    if (manifest_->size() > settings::kTextBytesMax) {
      return BundleError{
          fmt::format("{} has more than {} bytes", kManifestName, settings::kTextBytesMax),
          fmt::format("{} bytes<={}", kManifestName, settings::kTextBytesMax),
          std::to_string(manifest_->size())};
    }
  }
  writer_.close_file(sha.finish());
  return std::nullopt;
}

std::optional<BundleError> Unpacking::count(uint64_t bytes) {
  bytes_ += bytes;
  if (bytes_ > bounds_.bytes_max) {
    return BundleError{fmt::format("the archive unpacks to more than {} bytes", bounds_.bytes_max),
                       fmt::format("bytes<={}", bounds_.bytes_max), std::to_string(bytes_)};
  }
  if (bytes_ > kRatioFromBytes && bytes_ / bounds_.ratio_max > reader_.packed_bytes()) {
    return BundleError{fmt::format("the archive unpacks to more than {} times its {} bytes",
                                   bounds_.ratio_max, reader_.packed_bytes()),
                       fmt::format("ratio<={}", bounds_.ratio_max),
                       std::to_string(bytes_ / reader_.packed_bytes())};
  }
  return std::nullopt;
}

BundleError Unpacking::no_manifest() const {
  if (manifest_elsewhere_.empty())
    return {fmt::format("{} is missing at the top of the archive", kManifestName), {}, {}};
  return {
      fmt::format(
          "{} must be at the top of the archive, but is in {}: pack what is in the folder, not the "
          "folder",
          kManifestName, settings::shown(manifest_elsewhere_)),
      {},
      {}};
}

}  // namespace

std::variant<Bundle, BundleError> unpack(const std::string& archive_path, const std::string& target,
                                         const BundleBounds& bounds) {
  return Unpacking(archive_path, target, bounds).run();
}

}  // namespace hearth::registry
