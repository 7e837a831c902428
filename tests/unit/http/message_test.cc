// SPDX-License-Identifier: Apache-2.0
#include "daemon/http/message.h"

#include <gtest/gtest.h>

#include <string>

#include "daemon/http/error.h"
#include "daemon/http/response_head.h"

namespace hearth::http {
namespace {

TEST(Headers, KeepsOrderAndFindsWhateverTheCase) {
  Headers headers;
  EXPECT_TRUE(headers.add("Content-Type", "text/plain"));
  EXPECT_TRUE(headers.add("Set-Cookie", "a=b: c"));
  EXPECT_TRUE(headers.add("Set-Cookie", ""));
  EXPECT_EQ(headers.size(), 3u);
  EXPECT_EQ(headers.find("content-type"), "text/plain");
  EXPECT_EQ(headers.find("SET-COOKIE"), "a=b: c");
  EXPECT_EQ(headers.find("Content"), std::nullopt);
  EXPECT_EQ(headers.find("Cookie"), std::nullopt);
  std::string all;
  for (auto [name, value] : headers) all += std::string(name) + "=" + std::string(value) + ";";
  EXPECT_EQ(all, "Content-Type=text/plain;Set-Cookie=a=b: c;Set-Cookie=;");
}

TEST(Headers, RefusesWhatWouldBeginAnotherHeader) {
  Headers headers;
  for (const char* value : {"a\r\nSet-Cookie: x", "a\nb", "a\rb", "\x01", "\x7f"}) {
    EXPECT_FALSE(headers.add("X", value)) << value;
  }
  EXPECT_FALSE(headers.add("X", std::string_view("a\0b", 3)));
  for (const char* name : {"", "X Y", "X:", "X\r\n", "X\n", "\xc3\xa9", "(X)"}) {
    EXPECT_FALSE(headers.add(name, "v")) << name;
  }
  EXPECT_TRUE(headers.empty());
  EXPECT_TRUE(headers.add("X", "tab\tand \xc3\xa9 are fine"));
}

TEST(Decode, DecodesEscapesAndRefusesBrokenOnes) {
  EXPECT_EQ(decode("/a%20b%2Fc+d%c3%a9"), "/a b/c+d\xc3\xa9");
  EXPECT_EQ(decode(""), "");
  for (const char* broken : {"%", "%2", "a%", "%zz", "%2g", "%00", "%-1", "% 1"}) {
    EXPECT_EQ(decode(broken), std::nullopt) << broken;
  }
}

TEST(Decode, FindsQueryValues) {
  EXPECT_EQ(query_value("a=1&b=x%20y+z&a=2", "b"), "x y z");
  EXPECT_EQ(query_value("a=1&b=2&a=3", "a"), "1");
  EXPECT_EQ(query_value("a&b", "b"), "");
  EXPECT_EQ(query_value("aa=1", "a"), std::nullopt);
  EXPECT_EQ(query_value("", "a"), std::nullopt);
  EXPECT_EQ(query_value("a=%", "a"), std::nullopt);
}

TEST(Error, HasOneFormWithAllFields) {
  Response response = error_response(413, "too_large", "body", "7 \"bytes\"\n", "body_bytes_max",
                                     "6291456", "01ABC", std::chrono::seconds(2));
  EXPECT_EQ(response.status, 413);
  EXPECT_EQ(response.headers.find("content-type"), "application/json");
  EXPECT_EQ(response.headers.find("retry-after"), "2");
  EXPECT_EQ(response.body,
            "{\"error\":{\"kind\":\"too_large\",\"stage\":\"body\",\"message\":\"7 \\\"bytes\\\""
            "\\u000a\",\"limit\":\"body_bytes_max\",\"value\":6291456,\"call_id\":\"01ABC\"}}\n");
  EXPECT_EQ(error_response(404, "not_found", "find", "no").body,
            "{\"error\":{\"kind\":\"not_found\",\"stage\":\"find\",\"message\":\"no\","
            "\"limit\":null,\"value\":null,\"call_id\":null}}\n");
  EXPECT_NE(error_response(400, "k", "s", "m", "l", "007").body.find("\"value\":\"007\""),
            std::string::npos);
}

TEST(Error, JsonStringsAreValidWhateverTheBytes) {
  EXPECT_EQ(json_string("\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"),
            "\"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\"");
  EXPECT_EQ(json_string("\xff"), "\"\\ufffd\"");
  EXPECT_EQ(json_string("\xc3"), "\"\\ufffd\"");
  EXPECT_EQ(json_string("\xc0\xaf"), "\"\\ufffd\\ufffd\"");             // overlong
  EXPECT_EQ(json_string("\xed\xa0\x80"), "\"\\ufffd\\ufffd\\ufffd\"");  // surrogate
  EXPECT_EQ(json_string("\xf4\x90\x80\x80").find("\xf4"), std::string::npos);
  EXPECT_EQ(json_string(std::string_view("\0\x1f\x7f", 3)), "\"\\u0000\\u001f\\u007f\"");
}

std::string head(const Response& response, BodyForm form, bool keep_alive = true, int minor = 1) {
  std::string out;
  append_head(out, response, form, keep_alive, minor, "Date: now\r\n");
  return out;
}

TEST(ResponseHead, SaysHowTheBodyEnds) {
  Response response;
  response.body = "hello";
  EXPECT_EQ(head(response, BodyForm::kLength),
            "HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 5\r\n\r\n");
  EXPECT_EQ(
      head(response, BodyForm::kChunked, false),
      "HTTP/1.1 200 OK\r\nDate: now\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n");
  response.status = 299;
  EXPECT_EQ(head(response, BodyForm::kNone, true, 0),
            "HTTP/1.1 299 \r\nDate: now\r\nConnection: keep-alive\r\n\r\n");
}

TEST(ResponseHead, DropsFramingHeadersOfTheHandler) {
  Response response;
  for (const char* name : {"content-length", "Transfer-Encoding", "Connection", "Keep-Alive",
                           "Upgrade", "Trailer", "Date", "X-Kept"}) {
    response.headers.set(name, "1");
  }
  EXPECT_EQ(head(response, BodyForm::kLength),
            "HTTP/1.1 200 OK\r\nDate: now\r\nX-Kept: 1\r\nContent-Length: 0\r\n\r\n");
}

TEST(ResponseHead, TheDateIsThatOfTheRfc) {
  DateLine date;
  std::string line(date.now());
  std::tm parsed{};
  const char* end = ::strptime(line.c_str(), "Date: %a, %d %b %Y %T GMT", &parsed);
  ASSERT_NE(end, nullptr) << line;
  EXPECT_STREQ(end, "\r\n");
  EXPECT_NEAR(double(::timegm(&parsed)), double(::time(nullptr)), 2);
}

}  // namespace
}  // namespace hearth::http
