// SPDX-License-Identifier: Apache-2.0
#include "sandbox/frame.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>

namespace hearth::sandbox::frame {
namespace {

using Bytes = std::array<std::byte, kHeaderBytes>;

Bytes encoded(const Header& header) {
  Bytes bytes;
  encode(header, bytes);
  return bytes;
}

TEST(Frame, HeaderComesBackAsItWasEncoded) {
  for (Type type :
       {Type::kHello, Type::kLoad, Type::kReady, Type::kCall, Type::kReply, Type::kError}) {
    Header header{type, 0, kMetaBytesMax, 0xffffffff, 0x0123456789abcdef};
    std::optional<Header> got = decode(encoded(header));
    ASSERT_TRUE(got);
    EXPECT_EQ(got->type, type);
    EXPECT_EQ(got->flags, 0);
    EXPECT_EQ(got->meta_bytes, kMetaBytesMax);
    EXPECT_EQ(got->body_bytes, 0xffffffff);
    EXPECT_EQ(got->call, 0x0123456789abcdefu);
  }
}

TEST(Frame, TheBytesAreThoseOfTheManPage) {
  Header header{Type::kCall, kLastCall, 0x0102, 0x03040506, 0x0708090a0b0c0d0e};
  const unsigned char expected[kHeaderBytes] = {
      'H', 'R', 'T', 'H', 4, 1, 0, 0, 2, 1, 0, 0, 6, 5, 4, 3, 0xe, 0xd, 0xc, 0xb, 0xa, 9, 8, 7};
  EXPECT_EQ(std::memcmp(encoded(header).data(), expected, kHeaderBytes), 0);
}

TEST(Frame, AnotherMagicIsRefused) {
  for (size_t i = 0; i < 4; ++i) {
    Bytes bytes = encoded({});
    bytes[i] ^= std::byte{1};
    EXPECT_FALSE(decode(bytes));
  }
}

TEST(Frame, UnknownTypesAreRefused) {
  for (int type = 0; type < 256; ++type) {
    Bytes bytes = encoded({});
    bytes[4] = std::byte(type);
    EXPECT_EQ(decode(bytes).has_value(), type >= 1 && type <= 6) << type;
  }
}

TEST(Frame, UndefinedFlagsAreRefused) {
  for (int flags = 0; flags < 256; ++flags) {
    Bytes call = encoded({Type::kCall, uint8_t(flags)});
    EXPECT_EQ(decode(call).has_value(), flags <= 1) << flags;
    Bytes reply = encoded({Type::kReply, uint8_t(flags)});
    EXPECT_EQ(decode(reply).has_value(), flags == 0) << flags;
  }
}

TEST(Frame, ReservedBitsAreRefused) {
  for (size_t i : {6, 7}) {
    Bytes bytes = encoded({});
    bytes[i] = std::byte{0x80};
    EXPECT_FALSE(decode(bytes));
  }
}

TEST(Frame, MetaBeyondTheBoundIsRefused) {
  EXPECT_TRUE(decode(encoded({Type::kCall, 0, kMetaBytesMax})));
  EXPECT_FALSE(decode(encoded({Type::kCall, 0, kMetaBytesMax + 1})));
  EXPECT_FALSE(decode(encoded({Type::kCall, 0, 0xffffffff})));
}

TEST(Frame, MetaComesBackAsItWasAppended) {
  std::string meta;
  append_meta(meta, "status", "200");
  append_meta(meta, "h:x", "");
  append_meta(meta, "h:x", "two words");
  std::optional<Pairs> pairs = parse_meta(meta);
  ASSERT_TRUE(pairs);
  EXPECT_EQ(*pairs, (Pairs{{"status", "200"}, {"h:x", ""}, {"h:x", "two words"}}));
}

TEST(Frame, EmptyMetaIsAnEmptyList) {
  EXPECT_EQ(parse_meta(""), Pairs{});
}

TEST(Frame, EveryTruncationOfMetaIsRefusedOrShorter) {
  std::string meta;
  append_meta(meta, "ab", "cd");
  append_meta(meta, "e", "");
  for (size_t size = 1; size < meta.size(); ++size) {
    std::optional<Pairs> pairs = parse_meta(std::string_view(meta).substr(0, size));
    EXPECT_EQ(pairs.has_value(), size == 6) << size;
  }
}

TEST(Frame, MetaWithoutANameIsRefused) {
  EXPECT_FALSE(parse_meta(std::string_view("\0v\0", 3)));
  EXPECT_FALSE(parse_meta(std::string_view("a\0b\0\0\0", 6)));
  EXPECT_FALSE(parse_meta(std::string_view("\0\0\0\0", 4)));
}

}  // namespace
}  // namespace hearth::sandbox::frame
