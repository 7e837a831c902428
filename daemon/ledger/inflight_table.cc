// SPDX-License-Identifier: Apache-2.0
#include "daemon/ledger/inflight_table.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <filesystem>

#include "daemon/ledger/crc32c.h"
#include "sandbox/sys/error.h"
#include "sandbox/sys/fail_point.h"

namespace hearth::ledger {
namespace {

// To be raised whenever Record or Slot changes: a newer hearthd then refuses the table of an older
// one that was killed, and says so, instead of misreading it.
constexpr uint32_t kLayout = 1;
static_assert(sizeof(Record) == 304 && sizeof(Slot) == 640,
              "raise kLayout and adapt these numbers");

constexpr size_t kHeaderBytes = 4096;
constexpr uint32_t kSlotsMax = 1u << 20;
constexpr char kMagic[8] = {'H', 'R', 'T', 'H', 'C', 'A', 'L', 'L'};

[[noreturn]] void refuse(const std::string& path, const std::string& why, int code = EUCLEAN) {
  throw sys::Error(
      fmt::format("use the in-flight table ({}; it may hold records: move it away to start anew)",
                  why),
      path, code);
}

off_t slot_offset(uint32_t index) {
  return static_cast<off_t>(kHeaderBytes + size_t{index} * sizeof(Slot));
}

std::string boot_id() {
  sys::Fd fd(sys::check(::open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC), "open",
                        "/proc/sys/kernel/random/boot_id"));
  char text[36];
  ssize_t size = sys::check(::read(fd.get(), text, sizeof(text)), "read", "boot_id");
  return {text, static_cast<size_t>(size)};
}

// Really allocates the blocks: with a hole, a full disk would be a SIGBUS at the first store.
void allocate(int fd, uint32_t slots, const std::string& path) {
  int code = ::posix_fallocate(fd, 0, slot_offset(slots));
  if (code != 0) throw sys::Error("allocate", path, code);
}

bool text_ends(const char (&field)[64]) {
  return ::strnlen(field, sizeof(field)) < sizeof(field);
}

// A checksum can be right and the bytes of another build; nothing read from the file is trusted to
// be in range.
bool plausible(const Record& record) {
  return text_ends(record.tenant) && text_ends(record.function) &&
         record.trigger <= Trigger::kHttp && record.outcome <= Outcome::kInterrupted &&
         record.start <= Start::kCold && record.memory_source <= MemorySource::kPolled;
}

bool whole(const Record& record, uint32_t crc) {
  return crc32c(&record, sizeof(record)) == crc && plausible(record);
}

}  // namespace

struct InflightTable::Header {
  char magic[8];
  uint32_t layout, slot_bytes, slots, reserved;
  char boot[40];
  uint32_t crc;  // over everything before it
};

InflightTable::InflightTable(const std::string& path, uint32_t slots) : path_(path) {
  slots = std::clamp(slots, 1u, kSlotsMax);
  fd_.reset(sys::check(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600), "open", path));
  if (::flock(fd_.get(), LOCK_EX | LOCK_NB) != 0) {
    throw sys::Error("lock (is another hearthd running on this state folder?)", path, errno);
  }
  // From here on no second hearthd can work on this state folder.
  if (never_used()) create(slots);
  open_existing(slots);
  map();
}

InflightTable::~InflightTable() {
  if (map_ != nullptr) {
    ::munmap(reinterpret_cast<char*>(map_) - kHeaderBytes,
             static_cast<size_t>(slot_offset(slots_)));
  }
}

// A new file, or one whose making was cut short: the header is written last.
bool InflightTable::never_used() const {
  std::vector<char> block(64 << 10);
  for (off_t at = 0;; at += static_cast<off_t>(block.size())) {
    auto got = sys::check(::pread(fd_.get(), block.data(), block.size(), at), "read", path_);
    if (got == 0) return true;
    auto end = block.begin() + got;
    if (std::any_of(block.begin(), end, [](char c) { return c != 0; })) return false;
  }
}

void InflightTable::create(uint32_t slots) {
  sys::check(::ftruncate(fd_.get(), 0), "ftruncate", path_);
  allocate(fd_.get(), slots, path_);
  write_header(slots, boot_id());
  sys::check(::fsync(fd_.get()), "fsync", path_);
  std::string folder = std::filesystem::absolute(path_).parent_path();
  sys::Fd dir(
      sys::check(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open", folder));
  sys::check(::fsync(dir.get()), "fsync", folder);
}

InflightTable::Header InflightTable::read_header() const {
  Header header{};
  ssize_t got = sys::check(::pread(fd_.get(), &header, sizeof(header), 0), "read", path_);
  if (got != sizeof(header)) refuse(path_, "its header is truncated");
  if (std::memcmp(header.magic, kMagic, sizeof(kMagic)) != 0)
    refuse(path_, "it is no in-flight table");
  if (crc32c(&header, offsetof(Header, crc)) != header.crc) refuse(path_, "its header is damaged");
  if (header.layout != kLayout || header.slot_bytes != sizeof(Slot)) {
    refuse(path_, fmt::format("its layout is {}, this hearthd knows {}", header.layout, kLayout),
           EPROTONOSUPPORT);
  }
  return header;
}

void InflightTable::open_existing(uint32_t slots) {
  Header header = read_header();
  struct stat info {};
  sys::check(::fstat(fd_.get(), &info), "fstat", path_);
  if (header.slots == 0 || header.slots > kSlotsMax || info.st_size < slot_offset(header.slots)) {
    refuse(path_, fmt::format("it is truncated: {} bytes, {} slots", info.st_size, header.slots));
  }
  slots_ = header.slots;
  header.boot[sizeof(header.boot) - 1] = 0;
  same_boot_ = header.boot == boot_id();
  if (slots != header.slots) resize(slots);
}

void InflightTable::resize(uint32_t slots) {
  std::vector<uint32_t> taken = occupied();
  if (!taken.empty() && taken.back() >= slots) return;
  allocate(fd_.get(), slots, path_);
  slots_ = slots;
  Header header = read_header();
  write_header(slots, header.boot);
  // The header no longer speaks of the bytes behind it, so a crash before this line is harmless.
  sys::check(::ftruncate(fd_.get(), slot_offset(slots)), "ftruncate", path_);
}

void InflightTable::write_header(uint32_t slots, const std::string& boot) const {
  Header header{};
  std::memcpy(header.magic, kMagic, sizeof(kMagic));
  header.layout = kLayout;
  header.slot_bytes = sizeof(Slot);
  header.slots = slots;
  std::memcpy(header.boot, boot.data(), std::min(boot.size(), sizeof(header.boot) - 1));
  header.crc = crc32c(&header, offsetof(Header, crc));
  ssize_t wrote = sys::check(::pwrite(fd_.get(), &header, sizeof(header), 0), "write", path_);
  if (wrote != sizeof(header)) throw sys::Error("write", path_, ENOSPC);
}

// Reads the file instead of the mapping: looking at every page would make all of them resident for
// ever.
std::vector<uint32_t> InflightTable::occupied() const {
  constexpr uint32_t kAtOnce = 128;
  std::vector<char> block(kAtOnce * sizeof(Slot));
  std::vector<uint32_t> found;
  for (uint32_t first = 0; first < slots_; first += kAtOnce) {
    size_t bytes = std::min(kAtOnce, slots_ - first) * sizeof(Slot);
    ssize_t got = ::pread(fd_.get(), block.data(), bytes, slot_offset(first));
    if (sys::check(got, "read", path_) != static_cast<ssize_t>(bytes)) {
      throw sys::Error("read", path_, EIO);
    }
    for (uint32_t i = 0; i * sizeof(Slot) < bytes; i++) {
      SlotState state{};
      std::memcpy(&state, block.data() + i * sizeof(Slot) + offsetof(Slot, state), sizeof(state));
      if (state != SlotState::kFree) found.push_back(first + i);
    }
  }
  return found;
}

void InflightTable::mark_this_boot() {
  write_header(slots_, boot_id());
  same_boot_ = true;
}

void InflightTable::map() {
  auto size = static_cast<size_t>(slot_offset(slots_));
  void* at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0);
  if (at == MAP_FAILED) throw sys::Error("mmap", path_, errno);
  map_ = reinterpret_cast<Slot*>(static_cast<char*>(at) + kHeaderBytes);
}

void InflightTable::claim(Slot& slot, const Record& identity) const {
  // memcpy: the checksum covers the padding too.
  std::memcpy(&slot.claimed, &identity, sizeof(Record));
  slot.claimed_crc = crc32c(&slot.claimed, sizeof(Record));
  std::memcpy(&slot.record, &identity, sizeof(Record));
  slot.record_crc = 0;
  slot.seen_cpu_user_us.store(0, std::memory_order_relaxed);
  slot.seen_cpu_system_us.store(0, std::memory_order_relaxed);
  sys::fail_point("table.claiming");
  slot.state.store(SlotState::kRunning, std::memory_order_release);
}

void InflightTable::finish(Slot& slot) const {
  slot.record_crc = crc32c(&slot.record, sizeof(Record));
  sys::fail_point("table.finishing");
  slot.state.store(SlotState::kFinished, std::memory_order_release);
}

void InflightTable::free(Slot& slot) const {
  slot.state.store(SlotState::kFree, std::memory_order_release);
}

InflightTable::Content InflightTable::inspect(const Slot& slot) {
  SlotState state = slot.state.load(std::memory_order_acquire);
  if (state == SlotState::kFree) return Content::kFree;
  if (state != SlotState::kRunning && whole(slot.record, slot.record_crc))
    return Content::kFinished;
  // A finished slot whose final numbers are torn (only a dying host can do that) still names its
  // call.
  return whole(slot.claimed, slot.claimed_crc) ? Content::kRunning : Content::kDamaged;
}

void InflightTable::set_aside(Slot& slot) const {
  std::string aside = path_ + ".damaged";
  sys::Fd fd(sys::check(::open(aside.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600),
                        "open", aside));
  ssize_t wrote =
      sys::check(::write(fd.get(), static_cast<void*>(&slot), sizeof(slot)), "write", aside);
  if (wrote != sizeof(slot)) throw sys::Error("write", aside, ENOSPC);
  free(slot);
}

}  // namespace hearth::ledger
