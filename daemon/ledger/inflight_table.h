// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "daemon/ledger/record.h"
#include "sandbox/sys/fd.h"

// The calls that are under way, in a file mapped shared: whatever is stored here is in the kernel's
// page cache and survives the death of hearthd at any instruction. It does not by itself survive
// the host.
namespace hearth::ledger {

enum class SlotState : uint32_t { kFree = 0, kRunning = 1, kFinished = 2 };

// One place of the file. `claimed` is written once, before the state says running, and never
// touched while the call runs, so a call that dies half-way through filling `record` is still known
// by what it was claimed with.
class alignas(64) Slot {
 public:
  std::atomic<SlotState> state;
  uint32_t claimed_crc, record_crc;
  Record claimed, record;
  // What was last seen of the sandbox' CPU counters while the call ran: systemd removes the cgroups
  // of a service that died, and the counters with them. Outside the checksums, since it changes.
  std::atomic<uint64_t> seen_cpu_user_us, seen_cpu_system_us;
};

static_assert(std::is_trivially_copyable_v<Record>);
static_assert(std::atomic<SlotState>::is_always_lock_free);

class InflightTable {
 public:
  // Opens the file, or makes one with `slots` places. A file with another number of slots is
  // resized when the places that would go are free. Locks it against a second hearthd. Throws
  // sys::Error for a file that is in use, damaged, or of another layout: such a file may hold
  // records, so it is never overwritten.
  InflightTable(const std::string& path, uint32_t slots);
  ~InflightTable();
  InflightTable(const InflightTable&) = delete;
  InflightTable& operator=(const InflightTable&) = delete;

  uint32_t size() const { return slots_; }
  Slot& slot(uint32_t index) const { return map_[index]; }
  uint32_t index_of(const Slot* slot) const { return static_cast<uint32_t>(slot - map_); }

  // The life of a slot. Each is one release store after its bytes: no system call, no lock.
  void claim(Slot& slot, const Record& identity) const;
  void finish(Slot& slot) const;
  void free(Slot& slot) const;

  std::vector<uint32_t> occupied() const;  // the places that are not free, in order

  enum class Content { kFree, kRunning, kFinished, kDamaged };
  // What a slot of a dead hearthd holds, judged by the checksums and not only by its state.
  static Content inspect(const Slot& slot);

  // Appends the slot's bytes to PATH.damaged, so that nothing is thrown away unseen, and frees it.
  void set_aside(Slot& slot) const;

  // Was the table last used in this boot of the host? Otherwise no counter of its calls still
  // exists.
  bool same_boot() const { return same_boot_; }
  void mark_this_boot();

 private:
  struct Header;
  bool never_used() const;
  void create(uint32_t slots);
  void open_existing(uint32_t slots);
  Header read_header() const;
  void write_header(uint32_t slots, const std::string& boot) const;
  void resize(uint32_t slots);
  void map();

  std::string path_;
  sys::Fd fd_;
  uint32_t slots_ = 0;
  bool same_boot_ = false;
  Slot* map_ = nullptr;
};

}  // namespace hearth::ledger
