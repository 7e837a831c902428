// SPDX-License-Identifier: Apache-2.0
#include "daemon/http/parser.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/http_reader.h"

namespace hearth::http {
namespace {

using State = Parser::State;

// Refused with that status, whatever the pieces in which the bytes arrive, and nothing is taken for
// a second request.
void expect_refused(std::string_view bytes, int status, Limits limits = {}) {
  SCOPED_TRACE(std::string(bytes.substr(0, 200)));
  for (size_t step : {SIZE_MAX, size_t{1}, size_t{7}}) {
    Reader reader(limits);
    reader.read(bytes, step);
    ASSERT_EQ(reader.parser.state(), State::kRefused);
    EXPECT_EQ(reader.parser.refusal().status, status) << reader.parser.refusal().message;
    EXPECT_FALSE(reader.parser.refusal().message.empty());
    EXPECT_TRUE(reader.requests.empty());
    EXPECT_FALSE(reader.parser.keep_alive());
  }
}

std::vector<std::string> accepted(std::string_view bytes, Limits limits = {}) {
  Reader whole(limits), single(limits);
  whole.read(bytes);
  single.read(bytes, 1);
  EXPECT_NE(whole.parser.state(), State::kRefused) << whole.parser.refusal().message;
  EXPECT_EQ(whole.requests, single.requests);
  return whole.requests;
}

const std::string kPost = "POST /p HTTP/1.1\r\nHost: h\r\n";

TEST(Parser, ReadsRequestsOneAfterTheOther) {
  auto requests =
      accepted("GET /a?x=1&y HTTP/1.1\r\nHost: h\r\nX-Thing:  Value \t\r\n\r\n" + kPost +
               "Content-Length: 5\r\n\r\nhello\r\nDELETE /b HTTP/1.1\r\nhost: h\r\n\r\n");
  EXPECT_EQ(requests, (std::vector<std::string>{
                          "GET /a?x=1&y host: h\r\nx-thing: Value\r\n|",
                          "POST /p? host: h\r\ncontent-length: 5\r\n|hello",
                          "DELETE /b? host: h\r\n|",
                      }));
}

TEST(Parser, PutsChunksTogetherAndDropsExtensionsAndTrailers) {
  auto requests = accepted(kPost +
                           "Transfer-Encoding:\tChunked\r\n\r\n5;c=\"d\"\r\nhello\r\n"
                           "6\r\n world\r\n0\r\nX-Trailer: t\r\nContent-Length: 3\r\n\r\n"
                           "GET /next HTTP/1.1\r\nHost: h\r\n\r\n");
  ASSERT_EQ(requests.size(), 2u);
  EXPECT_EQ(requests[0], "POST /p? host: h\r\ntransfer-encoding: Chunked\r\n|hello world");
  EXPECT_EQ(requests[1], "GET /next? host: h\r\n|");
}

TEST(Parser, TakesAbsoluteAndAsteriskTargets) {
  EXPECT_EQ(accepted("GET http://other:80/p?q HTTP/1.1\r\nHost: h\r\n\r\n").at(0),
            "GET /p?q host: h\r\n|");
  EXPECT_EQ(accepted("GET HTTPS://other?q HTTP/1.1\r\nHost: h\r\n\r\n").at(0),
            "GET /?q host: h\r\n|");
  EXPECT_EQ(accepted("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n").at(0), "OPTIONS *? host: h\r\n|");
}

TEST(Parser, KnowsWhenTheConnectionStaysOpen) {
  struct Case {
    const char* head;
    bool keep_alive;
  };
  for (const Case& c : {
           Case{"GET / HTTP/1.1\r\nHost: h\r\n\r\n", true},
           Case{"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", false},
           Case{"GET / HTTP/1.1\r\nHost: h\r\nConnection: x, Close\r\n\r\n", false},
           Case{"GET / HTTP/1.1\r\nHost: h\r\nConnection: x\r\nConnection: close\r\n\r\n", false},
           Case{"GET / HTTP/1.0\r\n\r\n", false},
           Case{"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true},
           Case{"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", false},
       }) {
    Reader reader;
    EXPECT_GT(reader.parser.feed(c.head), 0u);
    ASSERT_EQ(reader.parser.state(), State::kAdmit) << c.head;
    EXPECT_EQ(reader.parser.keep_alive(), c.keep_alive) << c.head;
  }
}

TEST(Parser, RefusesHeadsThatOthersReadDifferently) {
  struct Case {
    const char* head;
    int status;
  };
  for (const Case& c : std::vector<Case>{
           {"GET / HTTP/1.1\r\n\r\n", 400},  // no Host
           {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400},
           {"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", 400},
           {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
           {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
           {"GET / HTTP/1.1\nHost: h\n\n", 400},  // bare LF
           {"GET / HTTP/1.1\r\nHost: h\n\r\n", 400},
           {"GET / HTTP/1.1\r\nHost: h\r\n\n", 400},
           {"\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
           {"\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
           {"GET / HTTP/1.1\r\nHost: h\rX: y\r\n\r\n", 400},  // bare CR
           {"GET / HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n", 400},
           {"GET / HTTP/1.1\r\nHost: h\r\nX: a\r\r\n\r\n", 400},
           {"GET / HTTP/1.1\r\nHost: h\r\n\rX: a\r\n\r\n", 400},
           {"GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n", 400},  // obs-fold
           {"GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n\tb\r\n\r\n", 400},
           {"GET / HTTP/1.1\r\n Host: h\r\n\r\n", 400},
           {"GET / HTTP/1.1\r\nHost : h\r\n\r\n", 400},  // space before colon
           {"GET / HTTP/1.1\r\nHost\t: h\r\n\r\n", 400},
           {"GET / HTTP/1.1\r\nHost: h\r\nX Y: a\r\n\r\n", 400},
           {"GET / HTTP/1.1\r\nHost: h\r\n: a\r\n\r\n", 400},
           {"GET / HTTP/1.1\r\nHost: h\r\nNo colon\r\n\r\n", 400},
           {"GET / HTTP/1.1\r\nHost: h\r\nX\xe9: a\r\n\r\n", 400},
           {"GET / HTTP/1.1\r\nHost: h\r\nX: a\x01\r\n\r\n", 400},
           {"GET / HTTP/1.1\r\nHost: h\r\nX: a\x7f\r\n\r\n", 400},
           {"GET /\r\n\r\n", 505},  // HTTP/0.9
           {"GET / HTTP/0.9\r\nHost: h\r\n\r\n", 505},
           {"GET / HTTP/1.2\r\nHost: h\r\n\r\n", 505},
           {"GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505},
           {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400},
           {"GET / HTTP/1.1 \r\nHost: h\r\n\r\n", 505},
           {"GET / http/1.1\r\nHost: h\r\n\r\n", 400},
           {"GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
           {"GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n", 400},
           {"get / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
           {"GE T / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
           {"BREW / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
           {"HTTP/1.1 200 OK\r\n\r\n", 400},
           {"CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n", 405},
           {"TRACE / HTTP/1.1\r\nHost: h\r\n\r\n", 405},
           {"PROPFIND / HTTP/1.1\r\nHost: h\r\n\r\n", 405},
           {"GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", 501},
           {"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\n\r\n", 501},
           {"GET x HTTP/1.1\r\nHost: h\r\n\r\n", 400},
           {"GET * HTTP/1.1\r\nHost: h\r\n\r\n", 400},
           {"GET h:80 HTTP/1.1\r\nHost: h\r\n\r\n", 400},
           {"GET ftp://h/ HTTP/1.1\r\nHost: h\r\n\r\n", 400},
           {"GET http:///p HTTP/1.1\r\nHost: h\r\n\r\n", 400},
           {"GET http://a@b/p HTTP/1.1\r\nHost: h\r\n\r\n", 400},
           {"GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n", 400},
           {"GET /\xc3\xa9 HTTP/1.1\r\nHost: h\r\n\r\n", 400},
           {"GET /\x01 HTTP/1.1\r\nHost: h\r\n\r\n", 400},
           {"POST / HTTP/1.1\r\nHost: h\r\nExpect: 200-ok\r\n\r\n", 417},
       }) {
    expect_refused(c.head, c.status);
  }
  expect_refused(std::string("GET / HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n", 36), 400);
  expect_refused(std::string("GET /\0 HTTP/1.1\r\nHost: h\r\n\r\n", 28), 400);
}

TEST(Parser, RefusesAmbiguousBodies) {
  struct Case {
    const char* rest;
    int status;
  };
  for (const Case& c : std::vector<Case>{
           {"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
           {"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400},
           {"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", 400},
           {"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400},
           {"Content-Length: 5, 5\r\n\r\nhello", 400},
           {"Content-Length: 5,6\r\n\r\nhello", 400},
           {"Content-Length: +5\r\n\r\nhello", 400},
           {"Content-Length: -5\r\n\r\nhello", 400},
           {"Content-Length: 0x5\r\n\r\nhello", 400},
           {"Content-Length: 5 5\r\n\r\nhello", 400},
           {"Content-Length: 5.0\r\n\r\nhello", 400},
           {"Content-Length:\r\n\r\nhello", 400},
           {"Content-Length: \xd9\xa5\r\n\r\nhello", 400},
           {"Content-Length: 18446744073709551616\r\n\r\nhello", 400},
           {"Content-Length: 99999999999999999999999\r\n\r\nhello", 400},
           {"Content-Length: 18446744073709551615\r\n\r\nhello", 413},
           {"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501},
           {"Transfer-Encoding: chunked-x\r\n\r\n0\r\n\r\n", 501},
           {"Transfer-Encoding: identity\r\n\r\n", 501},
           {"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501},
           {"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400},
           {"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400},
           {"Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", 501},
           {"Transfer-Encoding:\r\n\r\n0\r\n\r\n", 501},
           {"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
           {"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", 400},
           {"Transfer-Encoding: \x0b"
            "chunked\r\n\r\n0\r\n\r\n",
            400},
           {"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400},
           {"Transfer\r\n -Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
       }) {
    expect_refused(kPost + c.rest, c.status);
  }
  expect_refused("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400);
}

TEST(Parser, RefusesMalformedChunks) {
  for (const char* body : {
           "g\r\n",
           "\r\n",
           " 5\r\nhello\r\n0\r\n\r\n",
           "+5\r\nhello\r\n0\r\n\r\n",
           "-5\r\nhello\r\n0\r\n\r\n",
           "0x5\r\nhello\r\n0\r\n\r\n",
           "5 \r\nhello\r\n0\r\n\r\n",
           "5\t\r\nhello\r\n0\r\n\r\n",
           "5\nhello\r\n0\r\n\r\n",
           "5\r\nhello\n0\r\n\r\n",
           "5\r\nhello0\r\n\r\n",
           "5\r\nhelloo\r\n0\r\n\r\n",
           "5\r\nhello\r0\r\n\r\n",
           "5\rhello\r\n0\r\n\r\n",
           "5;a\nhello\r\n0\r\n\r\n",
           "5;a\rhello\r\n0\r\n\r\n",
           "5;a=\"\n\"\r\nhello\r\n0\r\n\r\n",
           "5;\x01\r\nhello\r\n0\r\n\r\n",
           "10000000000000005\r\nhello\r\n0\r\n\r\n",
           "fffffffffffffffff\r\n",
           "5_\r\nhello\r\n",
           "5\r\nhello\r\n\r\n0\r\n\r\n",
           "0\r\nX: y\n\r\n",
           "0\r\nX: y\r\n z\r\n\r\n",
           "0\r\n\n",
           "0\n\r\n",
           "0\r\nX : y\r\n\r\n",
           "0\r\nX: a\rb\r\n\r\n",
           "0\r\n\rX\r\n\r\n",
           "0\r\nNo colon\r\n\r\n",
       }) {
    expect_refused(kPost + "Transfer-Encoding: chunked\r\n\r\n" + body, 400);
  }
  expect_refused(kPost + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", 413);
}

}  // namespace
}  // namespace hearth::http
