// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "sandbox/spec.h"

// Messages between hearthd and hearth-spawner: one SEQPACKET message each, of one fixed size per
// direction, so that the privileged side has no text, length or count to parse. A request that is
// not exactly such a frame ends the connection; one whose fields break a rule is refused by name.
namespace hearth::sandbox::wire {

// hearthd -> spawner. Each is answered once, under its id; but not Kill.
struct Create {
  Spec spec;
};
struct Specialise {
  uint64_t id = 0;
  std::string function, bundle;
  Limits limits;
};
struct Remove {
  uint64_t id = 0;
};
struct Prune {
  uint64_t id = 0;
  std::string tenant, function;  // empty function: the tenant
};
struct Purge {
  uint64_t id = 0;
};
struct Kill {
  uint64_t id = 0;
};
using Request = std::variant<Create, Specialise, Remove, Prune, Purge, Kill>;

// The frame is one, but this field of it breaks the rules.
struct BadField {
  uint64_t id = 0;
  std::string field;
};

// spawner -> hearthd.
struct CreatedAnswer {
  uint64_t id = 0;
  int32_t init_host_pid = 0;
  uint32_t descriptors = 0;  // bit n: the n-th member of Descriptors came along
};
struct DoneAnswer {
  uint64_t id = 0;
};
struct RefusedAnswer {
  uint64_t id = 0;
  Failure failure;
};
using Answer = std::variant<CreatedAnswer, DoneAnswer, RefusedAnswer>;

inline constexpr size_t kRequestBytes = 344;
inline constexpr size_t kAnswerBytes = 344;
using RequestBytes = std::array<std::byte, kRequestBytes>;
using AnswerBytes = std::array<std::byte, kAnswerBytes>;

// A text that is longer than its field is cut in an answer; in a request it is our bug (aborts).
RequestBytes encode(const Request& request);
AnswerBytes encode(const Answer& answer);

// nullopt: not a frame at all (size, kind).
using Decoded = std::variant<Request, BadField>;
std::optional<Decoded> decode_request(std::span<const std::byte> bytes);
std::optional<Answer> decode_answer(std::span<const std::byte> bytes);

inline constexpr size_t kNameBytesMax = 63;
inline constexpr size_t kBundleBytes = 64;
bool valid_name(std::string_view name);    // [a-z0-9-]{1,63}: tenants, functions, images
bool valid_bundle(std::string_view hash);  // 64 hex digits, lower case

// The members of Descriptors in their order, which is the order they travel in. The first
// kDescriptorsAlways are in every answer.
inline constexpr size_t kDescriptorsMax = 10;
inline constexpr size_t kDescriptorsAlways = 6;
std::array<sys::Fd*, kDescriptorsMax> members(Descriptors& descriptors);

}  // namespace hearth::sandbox::wire
