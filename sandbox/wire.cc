// SPDX-License-Identifier: Apache-2.0
#include "sandbox/wire.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "sandbox/sys/error.h"

namespace hearth::sandbox::wire {
namespace {

enum Kind : uint32_t {
  kCreate = 1,
  kSpecialise = 2,
  kRemove = 3,
  kPrune = 4,
  kPurge = 5,
  kKill = 6,
  kCreated = 16,
  kDone = 17,
  kRefused = 18,
};

// Both ends are of one build on one host: integers are in the host's own order. There is no
// padding, and what a kind does not use is zero.
struct LimitFields {
  uint64_t memory_bytes, tmp_bytes, file_bytes_max, io_bytes_per_s;
  uint32_t processes_max, cpu_percent, open_files_max, io_reads_per_s;
};
struct RequestFrame {
  uint32_t kind, zero;
  uint64_t id;
  char tenant[kNameBytesMax + 1], function[kNameBytesMax + 1], image[kNameBytesMax + 1];
  char bundle[kBundleBytes + 8];
  LimitFields limits;
  uint64_t reserved[2];
};
struct AnswerFrame {
  uint32_t kind;
  int32_t error;
  uint64_t id;
  int32_t init_host_pid;
  uint32_t descriptors;
  char step[80], object[240];
};
static_assert(sizeof(RequestFrame) == kRequestBytes);
static_assert(sizeof(AnswerFrame) == kAnswerBytes);
static_assert(std::has_unique_object_representations_v<RequestFrame>);
static_assert(std::has_unique_object_representations_v<AnswerFrame>);

template <size_t N>
void put(char (&field)[N], std::string_view text) {
  HEARTH_CHECK(text.size() < N && text.find('\0') == std::string_view::npos);
  std::memcpy(field, text.data(), text.size());
}

template <size_t N>
void put_cut(char (&field)[N], std::string_view text) {
  put(field, text.substr(0, std::min(N - 1, text.find('\0'))));
}

// The text up to its NUL, behind which only zeroes may follow.
template <size_t N>
std::optional<std::string> get(const char (&field)[N]) {
  const char* end = static_cast<const char*>(std::memchr(field, 0, N));
  if (!end || std::any_of(end, field + N, [](char c) { return c != 0; })) return std::nullopt;
  return std::string(field, end);
}

LimitFields put_limits(const Limits& limits) {
  return {limits.memory_bytes,  limits.tmp_bytes,   limits.file_bytes_max, limits.io_bytes_per_s,
          limits.processes_max, limits.cpu_percent, limits.open_files_max, limits.io_reads_per_s};
}

Limits get_limits(const LimitFields& fields) {
  Limits limits;
  limits.memory_bytes = fields.memory_bytes;
  limits.tmp_bytes = fields.tmp_bytes;
  limits.file_bytes_max = fields.file_bytes_max;
  limits.io_bytes_per_s = fields.io_bytes_per_s;
  limits.io_reads_per_s = fields.io_reads_per_s;
  limits.processes_max = fields.processes_max;
  limits.cpu_percent = fields.cpu_percent;
  limits.open_files_max = fields.open_files_max;
  return limits;
}

template <typename Frame>
auto to_bytes(const Frame& frame) {
  std::array<std::byte, sizeof frame> bytes;
  std::memcpy(bytes.data(), &frame, sizeof frame);
  return bytes;
}

struct RequestWriter {
  RequestFrame& frame;

  void operator()(const Create& create) const {
    frame.kind = kCreate;
    frame.id = create.spec.id;
    put(frame.tenant, create.spec.tenant);
    put(frame.function, create.spec.function);
    put(frame.image, create.spec.image);
    put(frame.bundle, create.spec.bundle);
    frame.limits = put_limits(create.spec.limits);
  }
  void operator()(const Specialise& specialise) const {
    frame.kind = kSpecialise;
    frame.id = specialise.id;
    put(frame.function, specialise.function);
    put(frame.bundle, specialise.bundle);
    frame.limits = put_limits(specialise.limits);
  }
  void operator()(const Remove& remove) const {
    frame.kind = kRemove;
    frame.id = remove.id;
  }
  void operator()(const Prune& prune) const {
    frame.kind = kPrune;
    frame.id = prune.id;
    put(frame.tenant, prune.tenant);
    put(frame.function, prune.function);
  }
  void operator()(const Purge& purge) const {
    frame.kind = kPurge;
    frame.id = purge.id;
  }
  void operator()(const Kill& kill) const {
    frame.kind = kKill;
    frame.id = kill.id;
  }
};

struct AnswerWriter {
  AnswerFrame& frame;

  void operator()(const CreatedAnswer& created) const {
    frame.kind = kCreated;
    frame.id = created.id;
    frame.init_host_pid = created.init_host_pid;
    frame.descriptors = created.descriptors;
  }
  void operator()(const DoneAnswer& done) const {
    frame.kind = kDone;
    frame.id = done.id;
  }
  void operator()(const RefusedAnswer& refused) const {
    frame.kind = kRefused;
    frame.id = refused.id;
    frame.error = refused.failure.error;
    put_cut(frame.step, refused.failure.step);
    put_cut(frame.object, refused.failure.object);
  }
};

// What a kind of request carries; everything else must be zero.
struct Rules {
  bool tenant, function, image, bundle, limits;
};

std::optional<Rules> rules_of(uint32_t kind) {
  switch (kind) {
    case kCreate:
      return Rules{true, true, true, true, true};
    case kSpecialise:
      return Rules{false, true, false, true, true};
    case kRemove:
      return Rules{};
    case kPrune:
      return Rules{true, true, false, false, false};
    case kPurge:
    case kKill:
      return Rules{};
    default:
      return std::nullopt;
  }
}

bool all_zero(const LimitFields& limits) {
  static constexpr LimitFields kZero{};
  return std::memcmp(&limits, &kZero, sizeof limits) == 0;
}

struct Texts {
  std::string tenant, function, image, bundle;
};

// The name of the first field that breaks a rule, or nullptr with the texts in `out`.
const char* check_fields(const RequestFrame& frame, const Rules& rules, Texts& out) {
  if (frame.zero || frame.reserved[0] || frame.reserved[1]) return "reserved";
  auto take = [](auto& field, bool used, auto valid, std::string& text) {
    std::optional<std::string> found = get(field);
    if (!found || (!used && !found->empty())) return false;
    if (!found->empty() && !valid(*found)) return false;
    text = std::move(*found);
    return true;
  };
  if (!take(frame.tenant, rules.tenant, valid_name, out.tenant)) return "tenant";
  if (!take(frame.function, rules.function, valid_name, out.function)) return "function";
  if (!take(frame.image, rules.image, valid_name, out.image)) return "image";
  if (!take(frame.bundle, rules.bundle, valid_bundle, out.bundle)) return "bundle";
  if (!rules.limits && !all_zero(frame.limits)) return "limits";
  if (rules.tenant && out.tenant.empty()) return "tenant";
  if (rules.image && out.image.empty()) return "image";
  // Code belongs to a function: a generic sandbox has neither.
  if (rules.bundle && out.bundle.empty() != out.function.empty()) return "bundle";
  if (frame.kind == kSpecialise && out.bundle.empty()) return "bundle";
  return nullptr;
}

}  // namespace

bool valid_name(std::string_view name) {
  return !name.empty() && name.size() <= kNameBytesMax &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
         });
}

bool valid_bundle(std::string_view hash) {
  return hash.size() == kBundleBytes && std::all_of(hash.begin(), hash.end(), [](char c) {
           return (c >= 'a' && c <= 'f') || (c >= '0' && c <= '9');
         });
}

RequestBytes encode(const Request& request) {
  RequestFrame frame{};
  std::visit(RequestWriter{frame}, request);
  return to_bytes(frame);
}

AnswerBytes encode(const Answer& answer) {
  AnswerFrame frame{};
  std::visit(AnswerWriter{frame}, answer);
  return to_bytes(frame);
}

std::optional<Decoded> decode_request(std::span<const std::byte> bytes) {
  RequestFrame frame;
  if (bytes.size() != sizeof frame) return std::nullopt;
  std::memcpy(&frame, bytes.data(), sizeof frame);
  std::optional<Rules> rules = rules_of(frame.kind);
  if (!rules) return std::nullopt;
  Texts texts;
  if (const char* field = check_fields(frame, *rules, texts)) return BadField{frame.id, field};
  switch (frame.kind) {
    case kCreate:
      return Request(Create{Spec{frame.id, texts.tenant, texts.function, texts.image, texts.bundle,
                                 get_limits(frame.limits)}});
    case kSpecialise:
      return Request(Specialise{frame.id, texts.function, texts.bundle, get_limits(frame.limits)});
    case kRemove:
      return Request(Remove{frame.id});
    case kPrune:
      return Request(Prune{frame.id, texts.tenant, texts.function});
    case kKill:
      return Request(Kill{frame.id});
    default:
      return Request(Purge{frame.id});
  }
}

std::optional<Answer> decode_answer(std::span<const std::byte> bytes) {
  AnswerFrame frame;
  if (bytes.size() != sizeof frame) return std::nullopt;
  std::memcpy(&frame, bytes.data(), sizeof frame);
  std::optional<std::string> step = get(frame.step), object = get(frame.object);
  if (!step || !object) return std::nullopt;
  std::optional<Answer> answer;
  if (frame.kind == kCreated) {
    constexpr uint32_t kAlways = (1u << kDescriptorsAlways) - 1;
    if ((frame.descriptors & kAlways) != kAlways) return std::nullopt;
    if (frame.descriptors >> kDescriptorsMax) return std::nullopt;
    answer = CreatedAnswer{frame.id, frame.init_host_pid, frame.descriptors};
  } else if (frame.kind == kDone) {
    answer = DoneAnswer{frame.id};
  } else if (frame.kind == kRefused) {
    answer = RefusedAnswer{frame.id, Failure{*step, *object, frame.error}};
  }
  // What the kind does not use must be zero.
  if (!answer || !std::ranges::equal(encode(*answer), bytes)) return std::nullopt;
  return answer;
}

std::array<sys::Fd*, kDescriptorsMax> members(Descriptors& d) {
  return {&d.control,  &d.pidfd,       &d.cgroup_kill,   &d.cgroup_events,  &d.cgroup_procs,
          &d.cpu_stat, &d.memory_peak, &d.memory_events, &d.memory_current, &d.pids_events};
}

}  // namespace hearth::sandbox::wire
