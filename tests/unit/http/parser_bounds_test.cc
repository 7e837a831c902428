// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "daemon/http/parser.h"
#include "tests/support/http_reader.h"

namespace hearth::http {
namespace {

using State = Parser::State;

const std::string kGet = "GET / HTTP/1.1\r\nHost: h\r\n";
const std::string kChunked = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";

std::string post(size_t bytes) {
  return "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(bytes) + "\r\n\r\n" +
         std::string(bytes, 'b');
}

// The refusal of those bytes, the same whether they come in one piece or many. Status 0: they were
// taken.
Refusal refusal(const std::string& bytes, Limits limits = {}) {
  Reader whole(limits), pieces(limits);
  whole.read(bytes);
  pieces.read(bytes, 13);
  EXPECT_EQ(whole.parser.state() == State::kRefused, pieces.parser.state() == State::kRefused);
  if (whole.parser.state() != State::kRefused) return Refusal{.status = 0};
  EXPECT_EQ(whole.parser.refusal().status, pieces.parser.refusal().status);
  return whole.parser.refusal();
}

void expect_too_large(const Refusal& refused, int status, std::string_view limit, uint64_t value) {
  EXPECT_EQ(refused.status, status);
  EXPECT_EQ(refused.kind, "too_large");
  EXPECT_EQ(refused.limit, limit);
  EXPECT_EQ(refused.value, value);
}

TEST(ParserBounds, HeaderBytes) {
  Limits limits;
  limits.header_bytes_max = 1000;
  std::string filler(1000 - kGet.size() - std::string("X: \r\n\r\n").size(), 'x');
  EXPECT_EQ(refusal(kGet + "X: " + filler + "\r\n\r\n", limits).status, 0);
  expect_too_large(refusal(kGet + "X: x" + filler + "\r\n\r\n", limits), 431, "header_bytes_max",
                   1000);
  // Never ending, without a line end: refused as soon as it is too long.
  expect_too_large(refusal(kGet + "X: " + std::string(100'000, 'x'), limits), 431,
                   "header_bytes_max", 1000);
}

TEST(ParserBounds, HeaderCount) {
  Limits limits;
  std::string headers = kGet;
  for (int i = 1; i < 100; ++i) headers += "X: y\r\n";
  EXPECT_EQ(refusal(headers + "\r\n", limits).status, 0);
  expect_too_large(refusal(headers + "X: y\r\n\r\n", limits), 431, "headers_max", 100);
}

TEST(ParserBounds, UriBytes) {
  Limits limits;
  auto get = [](size_t bytes) {
    return "GET /" + std::string(bytes - 1, 'a') + " HTTP/1.1\r\nHost: h\r\n\r\n";
  };
  EXPECT_EQ(refusal(get(limits.uri_bytes_max), limits).status, 0);
  expect_too_large(refusal(get(limits.uri_bytes_max + 1), limits), 414, "uri_bytes_max", 8192);
  expect_too_large(refusal("GET /" + std::string(100'000, 'a'), limits), 414, "uri_bytes_max",
                   8192);
}

TEST(ParserBounds, BodyBytesByLength) {
  Limits limits;
  limits.body_bytes_max = 100;
  EXPECT_EQ(refusal(post(100), limits).status, 0);
  Refusal refused = refusal(post(101), limits);
  expect_too_large(refused, 413, "body_bytes_max", 100);
  EXPECT_EQ(refused.stage, "body");
}

TEST(ParserBounds, BodyBytesByChunks) {
  Limits limits;
  limits.body_bytes_max = 10;
  EXPECT_EQ(refusal(kChunked + "5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n", limits).status, 0);
  expect_too_large(refusal(kChunked + "5\r\nhello\r\n6\r\nworld!\r\n0\r\n\r\n", limits), 413,
                   "body_bytes_max", 10);
  // Refused by its size line, before a byte of it is there.
  expect_too_large(refusal(kChunked + "b\r\n", limits), 413, "body_bytes_max", 10);
}

TEST(ParserBounds, ChunkExtensionsAndTrailers) {
  std::string extension = ";" + std::string(1000, 'e');
  std::string many;
  for (int i = 0; i < 100; ++i) many += "1" + extension + "\r\nx\r\n";
  expect_too_large(refusal(kChunked + many + "0\r\n\r\n"), 431, "header_bytes_max", 32768);
  expect_too_large(refusal(kChunked + "1;" + std::string(1 << 20, 'e')), 431, "header_bytes_max",
                   32768);
  std::string trailers;
  for (int i = 0; i < 100; ++i) trailers += "X: y\r\n";
  EXPECT_EQ(refusal(kChunked + "0\r\n" + trailers + "\r\n").status, 0);
  expect_too_large(refusal(kChunked + "0\r\n" + trailers + "X: y\r\n\r\n"), 431, "headers_max",
                   100);
  expect_too_large(refusal(kChunked + "0\r\nX: " + std::string(40'000, 'y')), 431,
                   "header_bytes_max", 32768);
}

TEST(ParserBounds, ManySmallChunksArePlainBody) {
  std::string chunks;
  for (int i = 0; i < 100'000; ++i) chunks += "1\r\nx\r\n";
  Reader reader;
  reader.read(kChunked + chunks + "0\r\n\r\n", 4096);
  ASSERT_EQ(reader.requests.size(), 1u);
  EXPECT_TRUE(reader.requests[0].ends_with("|" + std::string(100'000, 'x')));
}

TEST(ParserBounds, ALargeBodyIsReadInPlaceWithoutMoving) {
  Limits limits;
  Request request;
  Parser parser(limits, request);
  constexpr size_t kBytes = 6 << 20;
  std::string head = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 6291456\r\n\r\nabc";
  size_t used = parser.feed(head);
  ASSERT_EQ(parser.state(), State::kAdmit);
  parser.admit(limits.body_bytes_max, {});
  ASSERT_EQ(parser.feed(std::string_view(head).substr(used)), 3u);
  const char* place = request.body.data();
  size_t got = 3;
  while (got < kBytes) {
    std::span<char> space = parser.body_space();
    if (space.empty()) {
      std::string rest(kBytes - got, 'z');
      ASSERT_EQ(parser.feed(rest), rest.size());
      got = kBytes;
    } else {
      size_t n = std::min<size_t>(space.size(), 100'000);
      std::fill_n(space.data(), n, 'z');
      parser.body_received(n);
      got += n;
    }
  }
  EXPECT_EQ(parser.state(), State::kComplete);
  EXPECT_EQ(request.body.data(), place);
  EXPECT_EQ(request.body, "abc" + std::string(kBytes - 3, 'z'));
  parser.next();
  EXPECT_LT(request.body.capacity(), size_t{64} << 10);  // an idle connection does not keep it
}

TEST(ParserBounds, AnAnnouncedBodyTakesNoMemoryBeforeItArrives) {
  Limits limits;
  Request request;
  Parser parser(limits, request);
  parser.feed("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 6291456\r\n\r\n");
  parser.admit(limits.body_bytes_max, {});
  EXPECT_EQ(request.body.size(), 0u);
  EXPECT_LE(parser.body_space().size(), size_t{256} << 10);
}

TEST(ParserBounds, ABodyGoesToAFileThatIsRemovedWithTheRequest) {
  auto folder = std::filesystem::path(testing::TempDir()) / "hearth-body-file";
  std::filesystem::create_directory(folder);
  Limits limits;
  Request request;
  Parser parser(limits, request);
  std::string bytes = post(100'000);
  size_t used = parser.feed(bytes);
  parser.admit(limits.body_bytes_max, folder.native());
  EXPECT_TRUE(parser.body_space().empty());
  parser.feed(std::string_view(bytes).substr(used));
  ASSERT_EQ(parser.state(), State::kComplete);
  ASSERT_TRUE(request.body_file.has_value());
  EXPECT_TRUE(request.body.empty());
  EXPECT_EQ(request.body_file->bytes(), 100'000u);
  std::ifstream file(request.body_file->path());
  std::string content{std::istreambuf_iterator<char>(file), {}};
  EXPECT_EQ(content, std::string(100'000, 'b'));
  parser.next();
  EXPECT_TRUE(std::filesystem::is_empty(folder));
  std::filesystem::remove(folder);
}

TEST(ParserBounds, AFullDiskRefusesTheBody) {
  Limits limits;
  Request request;
  Parser parser(limits, request);
  std::string bytes = post(10);
  size_t used = parser.feed(bytes);
  parser.admit(limits.body_bytes_max, testing::TempDir());
  // Replaces the file behind the object's back by one that is always full.
  ASSERT_TRUE(request.body_file.has_value());
  int full = ::open("/dev/full", O_WRONLY | O_CLOEXEC);
  ASSERT_GE(full, 0);
  for (int fd = 3; fd < 1024; ++fd) {
    std::error_code error;
    auto target = std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd), error);
    if (target == request.body_file->path()) {
      ASSERT_EQ(::dup2(full, fd), fd);
    }
  }
  ::close(full);
  parser.feed(std::string_view(bytes).substr(used));
  ASSERT_EQ(parser.state(), State::kRefused);
  EXPECT_EQ(parser.refusal().status, 503);
  EXPECT_NE(parser.refusal().message.find("No space left"), std::string::npos);
}

}  // namespace
}  // namespace hearth::http
