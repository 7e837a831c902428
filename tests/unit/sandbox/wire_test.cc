// SPDX-License-Identifier: Apache-2.0
#include "sandbox/wire.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

namespace hearth::sandbox::wire {
namespace {

// Where a request's fields are; the layout is fixed.
constexpr size_t kKind = 0, kZero = 4, kTenant = 16, kFunction = 80, kImage = 144, kBundle = 208,
                 kLimits = 280, kReserved = 328;
const std::string kHash(64, 'a');

Create create() {
  Create create;
  create.spec.id = 0x0123456789abcdef;
  create.spec.tenant = "acme";
  create.spec.function = "thumb-2";
  create.spec.image = "python3";
  create.spec.bundle = kHash;
  create.spec.limits = {1, 2, 3, 4, 5, 6};
  return create;
}

RequestBytes with(RequestBytes bytes, size_t at, std::string_view text) {
  std::memcpy(bytes.data() + at, text.data(), text.size());
  return bytes;
}

// The field that a changed request is refused for; "" when it is accepted, "-" when it is no frame.
std::string refused(const RequestBytes& bytes) {
  std::optional<Decoded> decoded = decode_request(bytes);
  if (!decoded) return "-";
  auto* bad = std::get_if<BadField>(&*decoded);
  return bad ? bad->field : "";
}

template <typename T>
T round_trip(const T& request) {
  return std::get<T>(std::get<Request>(*decode_request(encode(Request(request)))));
}

TEST(Wire, CarriesEveryFieldOfARequest) {
  Create made = round_trip(create());
  EXPECT_EQ(made.spec.id, 0x0123456789abcdefu);
  EXPECT_EQ(made.spec.tenant, "acme");
  EXPECT_EQ(made.spec.function, "thumb-2");
  EXPECT_EQ(made.spec.image, "python3");
  EXPECT_EQ(made.spec.bundle, kHash);
  const Limits& limits = made.spec.limits;
  EXPECT_EQ(limits.memory_bytes, 1u);
  EXPECT_EQ(limits.processes_max, 2u);
  EXPECT_EQ(limits.cpu_percent, 3u);
  EXPECT_EQ(limits.tmp_bytes, 4u);
  EXPECT_EQ(limits.open_files_max, 5u);
  EXPECT_EQ(limits.file_bytes_max, 6u);

  Specialise special = round_trip(Specialise{7, "f", kHash, {1, 2, 3, 4, 5, 6, 7, 8}});
  EXPECT_EQ(special.id, 7u);
  EXPECT_EQ(special.function, "f");
  EXPECT_EQ(special.bundle, kHash);
  EXPECT_EQ(special.limits.file_bytes_max, 6u);
  EXPECT_EQ(special.limits.io_bytes_per_s, 7u);
  EXPECT_EQ(special.limits.io_reads_per_s, 8u);
  EXPECT_EQ(round_trip(Remove{8}).id, 8u);
  EXPECT_EQ(round_trip(Kill{8}).id, 8u);
  Prune prune = round_trip(Prune{9, "acme", ""});
  EXPECT_EQ(prune.id, 9u);
  EXPECT_EQ(prune.tenant, "acme");
  EXPECT_EQ(prune.function, "");
  EXPECT_EQ(round_trip(Purge{10}).id, 10u);
}

TEST(Wire, RefusesAnythingButOneWholeFrame) {
  RequestBytes bytes = encode(Request(create()));
  std::vector<std::byte> longer(bytes.begin(), bytes.end());
  longer.push_back(std::byte{0});
  EXPECT_TRUE(decode_request(bytes));
  EXPECT_FALSE(decode_request(longer));
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(decode_request(std::span(bytes).first(size))) << size;
  }
}

TEST(Wire, RefusesUnknownKinds) {
  RequestBytes bytes = encode(Request(create()));
  for (char kind : {'\0', '\7', '\20', '\21', '\22', '\177'}) {
    EXPECT_EQ(refused(with(bytes, kKind, {&kind, 1})), "-") << int{kind};
  }
  EXPECT_EQ(refused(with(bytes, kKind + 3, "\x01")), "-");
}

TEST(Wire, RefusesNamesThatCouldBePaths) {
  RequestBytes bytes = encode(Request(create()));
  for (std::string_view name : {"..", ".", "/", "a/b", "A", "a_b", "a b", "\xc3\xa4", "\n"}) {
    std::string field(64, '\0');
    field.replace(0, name.size(), name);
    EXPECT_EQ(refused(with(bytes, kTenant, field)), "tenant") << name;
    EXPECT_EQ(refused(with(bytes, kFunction, field)), "function") << name;
    EXPECT_EQ(refused(with(bytes, kImage, field)), "image") << name;
  }
}

TEST(Wire, RefusesTextWithoutItsEnd) {
  RequestBytes bytes = encode(Request(create()));
  EXPECT_EQ(refused(with(bytes, kTenant, std::string(64, 'a'))), "tenant");
  EXPECT_EQ(refused(with(bytes, kFunction, std::string(64, 'a'))), "function");
  EXPECT_EQ(refused(with(bytes, kImage, std::string(64, 'a'))), "image");
  EXPECT_EQ(refused(with(bytes, kBundle, std::string(72, 'a'))), "bundle");
  EXPECT_EQ(refused(with(bytes, kTenant, std::string(63, 'a'))), "");
}

TEST(Wire, RefusesBytesBehindTheEndOfAText) {
  RequestBytes bytes = encode(Request(create()));
  for (size_t at = 5; at < 64; ++at) {
    EXPECT_EQ(refused(with(bytes, kTenant + at, "x")), "tenant") << at;
  }
}

TEST(Wire, RefusesBundlesThatAreNoHash) {
  RequestBytes bytes = encode(Request(create()));
  EXPECT_EQ(refused(with(bytes, kBundle, "A")), "bundle");
  EXPECT_EQ(refused(with(bytes, kBundle, "../x")), "bundle");
  EXPECT_EQ(refused(with(bytes, kBundle + 64, "a")), "bundle");               // 65 digits
  EXPECT_EQ(refused(with(bytes, kBundle + 63, {"\0", 1})), "bundle");         // 63 digits
  EXPECT_EQ(refused(with(bytes, kBundle, std::string(72, '\0'))), "bundle");  // code is missing
}

TEST(Wire, RefusesCodeInAGenericSandbox) {
  RequestBytes bytes = encode(Request(create()));
  EXPECT_EQ(refused(with(bytes, kFunction, std::string(64, '\0'))), "bundle");
  Create generic = create();
  generic.spec.function = generic.spec.bundle = "";
  EXPECT_EQ(refused(encode(Request(generic))), "");
}

TEST(Wire, RefusesMissingNames) {
  RequestBytes bytes = encode(Request(create()));
  EXPECT_EQ(refused(with(bytes, kTenant, std::string(64, '\0'))), "tenant");
  EXPECT_EQ(refused(with(bytes, kImage, std::string(64, '\0'))), "image");
  EXPECT_EQ(refused(encode(Request(Prune{1, "", "f"}))), "tenant");
  EXPECT_EQ(refused(encode(Request(Specialise{1, "", "", {}}))), "bundle");
}

TEST(Wire, RefusesFieldsThatTheKindDoesNotHave) {
  RequestBytes remove = encode(Request(Remove{1}));
  EXPECT_EQ(refused(with(remove, kTenant, "a")), "tenant");
  EXPECT_EQ(refused(with(remove, kFunction, "a")), "function");
  EXPECT_EQ(refused(with(remove, kImage, "a")), "image");
  EXPECT_EQ(refused(with(remove, kBundle, kHash)), "bundle");
  EXPECT_EQ(refused(with(remove, kLimits, "a")), "limits");
  EXPECT_EQ(refused(with(remove, kZero, "a")), "reserved");
  for (size_t at = kReserved; at < kRequestBytes; ++at) {
    EXPECT_EQ(refused(with(remove, at, "a")), "reserved") << at;
  }
}

TEST(Wire, CarriesEveryAnswer) {
  auto made = std::get<CreatedAnswer>(*decode_answer(encode(Answer(CreatedAnswer{5, 4711, 0x3f}))));
  EXPECT_EQ(made.id, 5u);
  EXPECT_EQ(made.init_host_pid, 4711);
  EXPECT_EQ(made.descriptors, 0x3fu);
  EXPECT_EQ(std::get<DoneAnswer>(*decode_answer(encode(Answer(DoneAnswer{6})))).id, 6u);
  auto refusal = std::get<RefusedAnswer>(
      *decode_answer(encode(Answer(RefusedAnswer{7, {"mount /proc", "proc", 13}}))));
  EXPECT_EQ(refusal.id, 7u);
  EXPECT_EQ(refusal.failure.step, "mount /proc");
  EXPECT_EQ(refusal.failure.object, "proc");
  EXPECT_EQ(refusal.failure.error, 13);
}

TEST(Wire, CutsAnAnswersTextsToTheirFields) {
  Failure long_one{std::string(500, 's'), std::string(500, 'o') + std::string("\0x", 2), 1};
  auto refusal =
      std::get<RefusedAnswer>(*decode_answer(encode(Answer(RefusedAnswer{1, long_one}))));
  EXPECT_EQ(refusal.failure.step, std::string(79, 's'));
  EXPECT_EQ(refusal.failure.object, std::string(239, 'o'));
}

TEST(Wire, RefusesAnswersThatMakeNoSense) {
  AnswerBytes bytes = encode(Answer(DoneAnswer{6}));
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(decode_answer(std::span(bytes).first(size))) << size;
  }
  for (size_t at = 20; at < bytes.size(); ++at) {
    AnswerBytes changed = bytes;
    changed[at] = std::byte{1};
    EXPECT_FALSE(decode_answer(changed)) << at;
  }
  // A sandbox without a descriptor that all of them have, and one with an eleventh.
  EXPECT_FALSE(decode_answer(encode(Answer(CreatedAnswer{5, 1, 0x1f}))));
  EXPECT_FALSE(decode_answer(encode(Answer(CreatedAnswer{5, 1, 0x43f}))));
}

}  // namespace
}  // namespace hearth::sandbox::wire
