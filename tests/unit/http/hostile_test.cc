// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <chrono>
#include <thread>
#include <vector>

#include "daemon/http/server.h"
#include "tests/unit/http/server_thread.h"

namespace hearth::http {
namespace {

using std::chrono::milliseconds;

bool all_closed(ServerThread& server) {
  return server.wait_for([](const Counters& c) { return c.connections_open == 0; });
}

// Long enough for a busy machine not to hit a limit that is not meant, short enough for a test.
Limits impatient() {
  Limits limits;
  limits.header_time_max = milliseconds(100);
  limits.idle_time_max = milliseconds(100);
  limits.body_period = milliseconds(100);
  limits.body_bytes_per_period_min = 1000;
  limits.write_period = milliseconds(100);
  limits.write_bytes_per_period_min = 1000;
  limits.linger_time_max = milliseconds(200);
  return limits;
}

TEST(Hostile, EveryRefusalIsTheJsonErrorAndClosesTheConnection) {
  ServerThread server;
  struct Case {
    std::string request;
    int status;
    std::string kind, limit;
  };
  std::string get = "GET /hello HTTP/1.1\r\nHost: h\r\n";
  for (const Case& c : std::vector<Case>{
           {"nonsense\r\n\r\n", 400, "bad_request", ""},
           {"GET /hello HTTP/1.1\r\n\r\n", 400, "bad_request", ""},
           {"TRACE / HTTP/1.1\r\nHost: h\r\n\r\n", 405, "method_not_allowed", ""},
           {get + "Upgrade: h2c\r\n\r\n", 501, "not_implemented", ""},
           {get + "Expect: magic\r\n\r\n", 417, "bad_request", ""},
           {"GET /hello HTTP/3.0\r\nHost: h\r\n\r\n", 505, "bad_request", ""},
           {get + "X: " + std::string(40'000, 'x') + "\r\n\r\n", 431, "too_large",
            "header_bytes_max"},
           {"GET /" + std::string(9000, 'x') + " HTTP/1.1\r\n\r\n", 414, "too_large",
            "uri_bytes_max"},
           {"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 6291457\r\n\r\n", 413, "too_large",
            "body_bytes_max"},
           {"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n600001\r\n", 413,
            "too_large", "body_bytes_max"},
       }) {
    SCOPED_TRACE(c.request.substr(0, 60));
    Client client(server.port());
    // What follows must not be taken for a request.
    client.send(c.request + get + "\r\n");
    Answer answer = client.answer();
    expect_error(answer, c.status, c.kind, c.limit);
    EXPECT_EQ(answer.header("Connection"), "close");
    EXPECT_EQ(client.receive_all(), "");
  }
  EXPECT_EQ(server.counters().requests, 0u);
  EXPECT_EQ(server.counters().requests_refused, 10u);
  EXPECT_TRUE(all_closed(server));
}

TEST(Hostile, ARefusedClientThatSendsOnStillReadsTheRefusal) {
  ServerThread server;
  for (int i = 0; i < 20; ++i) {
    Client client(server.port());
    bool sent = client.send(post("/echo", std::string(7'000'000, 'x')));
    expect_error(client.answer(), 413, "too_large", "body_bytes_max");
    EXPECT_TRUE(sent);
  }
}

TEST(Hostile, ARefusalAfterAHeadRequestHasItsBody) {
  ServerThread server;
  Client client(server.port());
  client.send("HEAD /hello HTTP/1.1\r\nHost: h\r\n\r\nnonsense\r\n\r\n");
  EXPECT_EQ(client.answer(true).status, 200);
  Answer answer = client.answer();
  expect_error(answer, 400, "bad_request", "");
  EXPECT_TRUE(answer.complete);
}

TEST(Hostile, ALingeringClientIsClosedInTime) {
  ServerThread server(impatient());
  Client client(server.port());
  expect_error(client.ask("nonsense\r\n\r\n"), 400, "bad_request", "");
  EXPECT_TRUE(all_closed(server));
}

TEST(Hostile, SlowHeadersAre408) {
  ServerThread server(impatient());
  Client client(server.port());
  client.send("GET /hello HT");
  expect_error(client.answer(), 408, "slow_client", "header_time_ms_max");
  EXPECT_TRUE(client.at_end());
  EXPECT_EQ(server.counters().timeouts, 1u);
}

TEST(Hostile, ADrippingBodyIs408) {
  ServerThread server(impatient());
  Client client(server.port());
  client.send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n");
  for (int i = 0; i < 30 && client.send("x"); ++i) std::this_thread::sleep_for(milliseconds(10));
  expect_error(client.answer(), 408, "slow_client", "body_bytes_per_period_min");
}

TEST(Hostile, ASlowBodyThatKeepsTheRateIsServed) {
  Limits limits = impatient();
  limits.body_period = milliseconds(300);
  ServerThread server(limits);
  Client client(server.port());
  std::string request = post("/echo", std::string(40'000, 'x'));
  for (size_t at = 0; at < request.size(); at += 2000) {
    client.send(std::string_view(request).substr(at, 2000));
    std::this_thread::sleep_for(milliseconds(35));
  }
  EXPECT_EQ(client.answer().body.size(), 40'000u);
  EXPECT_EQ(server.counters().timeouts, 0u);
}

TEST(Hostile, IdleConnectionsAreClosedWithoutAnAnswer) {
  ServerThread server(impatient());
  Client fresh(server.port()), used(server.port()), stray(server.port());
  EXPECT_EQ(used.get("/hello").body, "hello");
  stray.send("\r\n");  // no request has begun
  EXPECT_EQ(fresh.receive_all(), "");
  EXPECT_EQ(used.receive_all(), "");
  EXPECT_EQ(stray.receive_all(), "");
  EXPECT_TRUE(all_closed(server));
  EXPECT_EQ(server.counters().timeouts, 0u);
}

TEST(Hostile, AClientThatDoesNotReadIsCutOff) {
  ServerThread server(impatient());
  for (const char* target : {"/big?6000000", "/flood"}) {
    Client client(server.port());
    int small = 4096;
    ::setsockopt(client.fd(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    // Several answers, so that the kernel's buffers do not swallow them.
    for (int i = 0; i < 8; ++i) {
      client.send("GET " + std::string(target) + " HTTP/1.1\r\nHost: h\r\n\r\n");
    }
    EXPECT_TRUE(all_closed(server)) << target;
  }
  EXPECT_EQ(server.counters().timeouts, 2u);
  EXPECT_EQ(server.counters().buffered_bytes, 0u);
  EXPECT_EQ(server.handlers_alive, 0);
}

void expect_cancelled(const std::function<void(Client&)>& leave, std::string_view more = {}) {
  ServerThread server;
  Client client(server.port());
  client.send("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n" + std::string(more));
  ASSERT_TRUE(server.wait_for([](const Counters& c) { return c.requests == 1; }));
  EXPECT_EQ(server.handlers_alive, 1);
  leave(client);
  EXPECT_TRUE(all_closed(server));
  EXPECT_EQ(server.handlers_alive, 0);
  EXPECT_EQ(server.counters().requests_cancelled, 1u);
}

TEST(Hostile, AClientThatGoesAwayCancelsItsHandler) {
  expect_cancelled([](Client& c) { c.close(); });
  expect_cancelled([](Client& c) { c.finish_sending(); });  // half-closed counts as gone
  expect_cancelled([](Client& c) { c.reset(); });
}

TEST(Hostile, AClientThatGoesAwayIsNoticedWhileReadingIsPaused) {
  std::string more(100'000, 'x');
  expect_cancelled([](Client& c) { c.finish_sending(); }, more);
  expect_cancelled([](Client& c) { c.reset(); }, more);
}

TEST(Hostile, TruncatedRequestsReachNoHandler) {
  ServerThread server;
  std::string whole = post("/echo", "hello");
  for (size_t bytes = 0; bytes < whole.size(); ++bytes) {
    Client client(server.port());
    client.send(std::string_view(whole).substr(0, bytes));
    client.finish_sending();
    EXPECT_EQ(client.receive_all(), "") << bytes;
  }
  EXPECT_TRUE(all_closed(server));
  EXPECT_EQ(server.counters().requests, 0u);
}

TEST(Hostile, PipelinedRequestsAreReadAheadOnlyUpToABound) {
  ServerThread server;
  Client client(server.port());
  client.send("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
  ASSERT_TRUE(server.wait_for([](const Counters& c) { return c.requests == 1; }));
  timeval moment{0, 300'000};
  ::setsockopt(client.fd(), SOL_SOCKET, SO_SNDTIMEO, &moment, sizeof moment);
  EXPECT_FALSE(client.send(std::string(64 << 20, 'x')));
  EXPECT_LE(server.counters().bytes_in, uint64_t{64 + 64 + 1} << 10);
}

}  // namespace
}  // namespace hearth::http
