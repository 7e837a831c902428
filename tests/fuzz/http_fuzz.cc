// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <string>
#include <string_view>

#include "sandbox/sys/error.h"
#include "tests/support/http_reader.h"

using namespace hearth::http;

namespace {

Limits small_limits() {
  Limits limits;
  limits.header_bytes_max = 2048;
  limits.headers_max = 20;
  limits.uri_bytes_max = 256;
  limits.body_bytes_max = 64 * 1024;
  return limits;
}

void check_request(const Request& request, const Limits& limits) {
  HEARTH_CHECK(request.path == "*" || request.path.starts_with('/'));
  HEARTH_CHECK(request.target.size() <= limits.uri_bytes_max);
  HEARTH_CHECK(request.headers.size() <= limits.headers_max);
  HEARTH_CHECK(request.headers.text().size() <= 2 * limits.header_bytes_max);
  size_t lines = 0;
  for (auto [name, value] : request.headers) {
    HEARTH_CHECK(!name.empty());
    HEARTH_CHECK(value.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos);
    HEARTH_CHECK(request.headers.find(name).has_value());
    ++lines;
  }
  HEARTH_CHECK(lines == request.headers.size());
  (void)decode(request.path);
  (void)query_value(request.query, "a");
}

}  // namespace

// The first byte chooses the pieces in which the rest arrives. However a client cuts its bytes, the
// same requests come out and the rest is refused or not (for the first of two faults or for the
// second); and no bound is ever exceeded.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  if (size < 1) return 0;
  std::string_view text(reinterpret_cast<const char*>(bytes) + 1, size - 1);
  Reader whole(small_limits()), pieces(small_limits());
  whole.on_request = [&](const Request& request) { check_request(request, whole.limits); };
  whole.read(text);
  pieces.read(text, 1 + bytes[0] % 64);
  HEARTH_CHECK(whole.requests == pieces.requests);
  HEARTH_CHECK(whole.parser.state() == pieces.parser.state());
  for (Reader* reader : {&whole, &pieces}) {
    HEARTH_CHECK(reader->parser.body_bytes() <= reader->limits.body_bytes_max);
  }
  if (whole.parser.state() == Parser::State::kRefused) {
    HEARTH_CHECK(whole.parser.refusal().status >= 400 && pieces.parser.refusal().status >= 400);
    HEARTH_CHECK(!whole.parser.refusal().message.empty());
  }
  return 0;
}
