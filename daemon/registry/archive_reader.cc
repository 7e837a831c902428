// SPDX-License-Identifier: Apache-2.0
#include "daemon/registry/archive_reader.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <clocale>
#include <cstring>

#include "daemon/settings/reader.h"
#include "sandbox/sys/error.h"
#include "sandbox/sys/fd.h"

namespace hearth::registry {
namespace {

constexpr size_t kChunkBytes = 64 * 1024;
constexpr size_t kTarMagicAt = 257;
// What a tar may have besides content: headers, long names, padding.
constexpr uint64_t kTarBytesPerEntry = 4096;
constexpr uint64_t kTarBytesBesides = 1u << 20;

struct FreeArchive {
  void operator()(archive* a) const { archive_read_free(a); }
};
struct CloseGzip {
  void operator()(gzFile_s* file) const { gzclose(file); }
};

// libarchive turns names into the thread's character set; this makes it UTF-8 whatever the daemon's
// environment says.
class Utf8Locale {
 public:
  Utf8Locale() : locale_(::newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr)) {
    if (!locale_) throw sys::Error("newlocale", "C.UTF-8", errno);
    before_ = ::uselocale(locale_);
  }
  ~Utf8Locale() {
    ::uselocale(before_);
    ::freelocale(locale_);
  }
  Utf8Locale(const Utf8Locale&) = delete;
  Utf8Locale& operator=(const Utf8Locale&) = delete;

 private:
  locale_t locale_, before_{};
};

enum class Format { kZip, kTar, kGzip, kNone };

Format format_of(std::span<const unsigned char> head) {
  auto has = [&](size_t at, std::string_view magic) {
    return head.size() >= at + magic.size() &&
           std::memcmp(head.data() + at, magic.data(), magic.size()) == 0;
  };
  if (has(0, "PK\x03\x04") || has(0, "PK\x05\x06")) return Format::kZip;
  if (has(0, "\x1f\x8b")) return Format::kGzip;
  if (has(kTarMagicAt, "ustar")) return Format::kTar;
  return Format::kNone;
}

const char* name_of_type(unsigned type) {
  switch (type) {
    case AE_IFCHR:
      return "a character device";
    case AE_IFBLK:
      return "a block device";
    case AE_IFIFO:
      return "a FIFO";
    case AE_IFSOCK:
      return "a socket";
    default:
      return "of an unknown kind";
  }
}

}  // namespace

struct ArchiveReader::State {
  Utf8Locale utf8;
  std::string path;
  sys::Fd file;
  uint64_t packed_bytes = 0;
  Format format = Format::kNone;
  // Tar, packed or not: what zlib hands to libarchive.
  std::unique_ptr<gzFile_s, CloseGzip> stream;
  std::array<char, kChunkBytes> chunk;
  size_t chunk_bytes = 0;
  uint64_t stream_bytes = 0, stream_bytes_max = 0;
  bool stream_ended = false;
  // Found while libarchive was calling us or opening; next() and read() tell it.
  std::optional<BundleError> error;
  std::optional<sys::Error> host_error;
  std::unique_ptr<archive, FreeArchive> reader;
  std::string entry_name;
  uint64_t entry_bytes = 0;
  std::optional<uint64_t> entry_size;

  void open();
  static la_ssize_t on_read(archive*, void* self, const void** buffer);
  std::span<const char> read_stream();
  BundleError failure();
  std::variant<Entry, BundleError> entry_of(archive_entry* raw);
  std::optional<BundleError> check_end();
  BundleError refuse(std::string_view reason) const {
    return {fmt::format("'{}' in the archive: {}", settings::shown(entry_name), reason), {}, {}};
  }
};

void ArchiveReader::State::open() {
  std::array<unsigned char, kTarMagicAt + 5> head;
  ssize_t got = sys::check(::pread(file.get(), head.data(), head.size(), 0), "read", path);
  format = format_of({head.data(), static_cast<size_t>(got)});
  if (got == 0) {
    error = BundleError{"the archive is empty: it has 0 bytes", {}, {}};
    return;
  }
  if (format == Format::kNone) {
    error =
        BundleError{"this is no archive that Hearth reads: give a .zip, .tar.gz or .tar", {}, {}};
    return;
  }
  reader.reset(archive_read_new());
  HEARTH_CHECK(reader);
  int result = ARCHIVE_OK;
  if (format == Format::kZip) {
    // By its table of contents, which every other reader of zip goes by; the streaming reader may
    // see other entries.
    archive_read_support_format_zip_seekable(reader.get());
    result = archive_read_open_fd(reader.get(), file.get(), kChunkBytes);
  } else {
    archive_read_support_format_tar(reader.get());
    stream.reset(::gzdopen(sys::check(::fcntl(file.get(), F_DUPFD_CLOEXEC, 0), "dup", path), "rb"));
    HEARTH_CHECK(stream);
    result = archive_read_open(reader.get(), this, nullptr, on_read, nullptr);
  }
  if (result != ARCHIVE_OK && !error) error = failure();
}

la_ssize_t ArchiveReader::State::on_read(archive* reader, void* self, const void** buffer) {
  auto* state = static_cast<State*>(self);
  std::span<const char> bytes = state->read_stream();
  *buffer = bytes.data();
  if (!state->error && !state->host_error) return static_cast<la_ssize_t>(bytes.size());
  archive_set_error(reader, EINVAL, "refused");  // failure() tells what was found
  return -1;
}

// The next piece of the tar; empty at its end. Sets `error` for a damaged or endless stream,
// `host_error` when the disk does not give it.
std::span<const char> ArchiveReader::State::read_stream() {
  int got = ::gzread(stream.get(), chunk.data(), static_cast<unsigned>(chunk.size()));
  int code = Z_OK;
  const char* text = ::gzerror(stream.get(), &code);
  if (code == Z_ERRNO) {
    host_error.emplace("read", path,
                       errno);  // thrown later: libarchive's C frames are on the stack
    return {};
  }
  if (got < 0 || code != Z_OK) {
    error = BundleError{fmt::format("the archive is damaged or cut short: {}", text), {}, {}};
    return {};
  }
  chunk_bytes = static_cast<size_t>(got);
  stream_bytes += chunk_bytes;
  if (stream_bytes > stream_bytes_max) {
    error = BundleError{fmt::format("the archive unpacks to more than {} bytes", stream_bytes_max),
                        fmt::format("bytes<={}", stream_bytes_max), std::to_string(stream_bytes)};
    return {};
  }
  if (got == 0) stream_ended = true;
  return {chunk.data(), static_cast<size_t>(got)};
}

BundleError ArchiveReader::State::failure() {
  if (host_error) throw *host_error;
  if (error) return *error;
  int code = archive_errno(reader.get());
  if (code == EIO || code == ENOMEM) throw sys::Error("read", path, code);
  const char* text = archive_error_string(reader.get());
  std::string reason = text ? settings::shown(text, 200) : "no reason given";
  return {fmt::format("the archive is damaged or cut short: {}", reason), {}, {}};
}

std::variant<Entry, BundleError> ArchiveReader::State::entry_of(archive_entry* raw) {
  const char* name = archive_entry_pathname(raw);
  entry_name = name ? name : "";
  entry_bytes = 0;
  entry_size.reset();
  Entry entry;
  entry.name = entry_name;
  entry.executable = (archive_entry_mode(raw) & 0111) != 0;
  if (archive_entry_is_encrypted(raw)) return refuse("it is encrypted");
  if (archive_entry_hardlink(raw)) return refuse("hard links are not allowed");
  switch (archive_entry_filetype(raw)) {
    case AE_IFREG:
      entry.kind = EntryKind::kFile;
      if (archive_entry_size_is_set(raw))
        entry_size = static_cast<uint64_t>(archive_entry_size(raw));
      break;
    case AE_IFDIR:
      entry.kind = EntryKind::kFolder;
      break;
    case AE_IFLNK: {
      entry.kind = EntryKind::kLink;
      const char* link = archive_entry_symlink(raw);
      entry.link = link ? link : "";
      break;
    }
    default:
      return refuse(fmt::format("it is {}; files, folders and links are allowed",
                                name_of_type(archive_entry_filetype(raw))));
  }
  return entry;
}

// A tar ends with a block of zeros, then zeros only; a packed one has its checksum behind that.
// Where libarchive had to ask for more and got nothing, that block was missing: the tail is cut
// off.
std::optional<BundleError> ArchiveReader::State::check_end() {
  if (format == Format::kZip) return std::nullopt;
  if (stream_ended) return BundleError{"the archive is cut short: its end mark is missing", {}, {}};
  // First what libarchive left of the last chunk.
  auto taken = static_cast<uint64_t>(archive_filter_bytes(reader.get(), 0));
  size_t left = std::min<uint64_t>(stream_bytes - std::min(taken, stream_bytes), chunk_bytes);
  std::span<const char> bytes(chunk.data() + chunk_bytes - left, left);
  while (!stream_ended) {
    bool zeros = std::all_of(bytes.begin(), bytes.end(), [](char c) { return c == 0; });
    if (!zeros) return BundleError{"the archive goes on after its end mark", {}, {}};
    bytes = read_stream();
    if (error || host_error) return failure();
  }
  return std::nullopt;
}

ArchiveReader::ArchiveReader(const std::string& path, const BundleBounds& bounds)
    : state_(std::make_unique<State>()) {
  state_->path = path;
  state_->file.reset(
      sys::check(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW), "open", path));
  struct stat status;
  sys::check(::fstat(state_->file.get(), &status), "stat", path);
  if (!S_ISREG(status.st_mode)) throw sys::Error("read archive", path, EINVAL);
  state_->packed_bytes = static_cast<uint64_t>(status.st_size);
  state_->stream_bytes_max =
      bounds.bytes_max + bounds.entries_max * kTarBytesPerEntry + kTarBytesBesides;
  state_->open();
}

ArchiveReader::~ArchiveReader() = default;

uint64_t ArchiveReader::packed_bytes() const {
  return state_->packed_bytes;
}

std::variant<std::optional<Entry>, BundleError> ArchiveReader::next() {
  if (state_->error) return *state_->error;
  archive_entry* raw = nullptr;
  int result = archive_read_next_header(state_->reader.get(), &raw);
  if (result == ARCHIVE_EOF && !state_->error) {
    if (auto error = state_->check_end()) return std::move(*error);
    return std::optional<Entry>();
  }
  // A warning is no better than a failure: the entry is not what its author packed.
  if (result != ARCHIVE_OK) return state_->failure();
  auto entry = state_->entry_of(raw);
  if (auto* error = std::get_if<BundleError>(&entry)) return std::move(*error);
  return std::optional<Entry>(std::move(std::get<Entry>(entry)));
}

std::variant<std::span<const std::byte>, BundleError> ArchiveReader::read() {
  const void* block = nullptr;
  size_t bytes = 0;
  la_int64_t offset = 0;
  int result = archive_read_data_block(state_->reader.get(), &block, &bytes, &offset);
  if (result == ARCHIVE_EOF) {
    if (state_->entry_size && *state_->entry_size != state_->entry_bytes) {
      return state_->refuse("it has another size than the archive says");
    }
    return std::span<const std::byte>();
  }
  if (result != ARCHIVE_OK) return state_->failure();
  if (static_cast<uint64_t>(offset) != state_->entry_bytes)
    return state_->refuse("sparse files are not allowed");
  state_->entry_bytes += bytes;
  // An empty block in the middle of an entry would look like its end.
  if (bytes == 0) return read();
  return std::span(static_cast<const std::byte*>(block), bytes);
}

}  // namespace hearth::registry
