// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <chrono>
#include <filesystem>
#include <thread>
#include <vector>

#include "daemon/http/error.h"
#include "daemon/http/server.h"
#include "sandbox/sys/error.h"
#include "tests/unit/http/server_thread.h"

// What all clients together may take, and what a route may decide before a body is read.
namespace hearth::http {
namespace {

using std::chrono::milliseconds;

TEST(Bounds, TooManyConnectionsAreRefusedAndRoomIsUsedAgain) {
  Limits limits;
  limits.connections_max = 3;
  ServerThread server(limits);
  std::vector<Client> clients;
  for (int i = 0; i < 3; ++i) clients.emplace_back(server.port());
  ASSERT_TRUE(server.wait_for([](const Counters& c) { return c.connections_open == 3; }));
  {
    Client refused(server.port());
    Answer answer = refused.get("/hello");
    expect_error(answer, 503, "overloaded", "connections_max");
    EXPECT_EQ(answer.header("Retry-After"), "1");
    EXPECT_EQ(refused.receive_all(), "");
  }
  EXPECT_EQ(clients[0].get("/hello").body, "hello");
  clients.pop_back();
  ASSERT_TRUE(server.wait_for([](const Counters& c) { return c.connections_open == 2; }));
  Client again(server.port());
  EXPECT_EQ(again.get("/hello").body, "hello");
  EXPECT_EQ(server.counters().connections_refused, 1u);
}

TEST(Bounds, RefusedConnectionsAreBoundedToo) {
  Limits limits;
  limits.connections_max = 1;
  limits.linger_time_max = std::chrono::minutes(10);
  ServerThread server(limits);
  std::vector<Client> clients;
  for (int i = 0; i < 200; ++i) clients.emplace_back(server.port());
  ASSERT_TRUE(server.wait_for([](const Counters& c) { return c.connections_accepted == 200; }));
  EXPECT_EQ(server.counters().connections_open, 65u);
}

TEST(Bounds, BodiesOfAllClientsTogetherAreBounded) {
  Limits limits;
  limits.buffered_bytes_max = 1'000'000;
  ServerThread server(limits);
  std::vector<Client> clients;
  for (int i = 0; i < 3; ++i) {
    clients.emplace_back(server.port());
    clients.back().send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 400001\r\n\r\n");
    clients.back().send(std::string(400'000, 'x'));
  }
  // One does not fit. Whichever it is, the others go on.
  ASSERT_TRUE(server.wait_for([](const Counters& c) { return c.requests_refused == 1; }));
  int served = 0;
  for (Client& client : clients) {
    client.send("x");
    Answer answer = client.answer();
    if (answer.status == 200) ++served;
    if (answer.status != 200) expect_error(answer, 503, "overloaded", "buffered_bytes_max");
  }
  EXPECT_EQ(served, 2);
  EXPECT_LT(server.counters().buffered_bytes, 1000u);  // the refused one's head, while it lingers
}

TEST(Bounds, HeadersOfAllClientsTogetherAreBounded) {
  Limits limits;
  limits.buffered_bytes_max = 100'000;
  ServerThread server(limits);
  std::vector<Client> clients;
  for (int i = 0; i < 10; ++i) {
    clients.emplace_back(server.port());
    clients.back().send("GET / HTTP/1.1\r\nHost: h\r\nX: " + std::string(20'000, 'x'));
  }
  EXPECT_TRUE(server.wait_for([](const Counters& c) { return c.requests_refused >= 5; }));
  EXPECT_LE(server.counters().buffered_bytes, 100'000u);
}

TEST(Bounds, WhatIsReadAheadForAllClientsTogetherIsBounded) {
  Limits limits;
  limits.buffered_bytes_max = 100'000;
  limits.linger_time_max = milliseconds(100);
  ServerThread server(limits);
  std::vector<Client> clients;
  for (int i = 0; i < 5; ++i) {
    clients.emplace_back(server.port());
    clients.back().send("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n" + std::string(40'000, 'x'));
  }
  EXPECT_TRUE(server.wait_for([](const Counters& c) { return c.connections_open <= 2; }));
  EXPECT_LE(server.counters().buffered_bytes, 100'000u);
}

TEST(Bounds, UnsentAnswersOfAllClientsTogetherAreBounded) {
  Limits limits;
  limits.buffered_bytes_max = 6'500'000;
  ServerThread server(limits);
  Client lazy(server.port()), other(server.port());
  int small = 64 * 1024;
  ::setsockopt(lazy.fd(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  lazy.send("GET /big?6000000 HTTP/1.1\r\nHost: h\r\n\r\n");
  ASSERT_TRUE(server.wait_for([](const Counters& c) { return c.buffered_bytes > 600'000; }));
  expect_error(other.get("/big?6000000"), 503, "overloaded", "buffered_bytes_max");
  EXPECT_EQ(other.get("/hello").body, "hello");
  EXPECT_EQ(lazy.receive(100'000).size(), 100'000u);  // still being served
}

TEST(Bounds, AnAnswerBeyondItsBoundIsReplaced) {
  Limits limits;
  limits.response_bytes_max = 1000;
  ServerThread server(limits);
  Client client(server.port());
  EXPECT_EQ(client.get("/big?1000").body.size(), 1000u);
  expect_error(client.get("/big?1001"), 502, "output_exceeded", "response_bytes_max");
  EXPECT_EQ(client.get("/hello").body, "hello");
}

void admit_by_path(const Request& request, Admission& admission) {
  if (request.path == "/refused")
    admission.refusal = error_response(404, "not_found", "route", "no");
  if (request.path == "/file") {
    admission.body_directory = testing::TempDir();
    admission.body_bytes_max = 32 << 20;
  }
  if (request.path == "/no-folder") admission.body_directory = "/nonexistent";
}

const std::string kExpect = "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n";

TEST(Expect, ContinueIsSentOnlyWhenTheBodyIsWanted) {
  ServerThread server({}, admit_by_path);
  Client client(server.port());
  EXPECT_EQ(client.ask("POST /echo HTTP/1.1\r\nHost: h\r\n" + kExpect).status, 100);
  EXPECT_EQ(client.ask("hello").body, "hello");
  // The body came along: nobody waits for the go-ahead.
  EXPECT_EQ(client.ask("POST /echo HTTP/1.1\r\nHost: h\r\n" + kExpect + "hello").body, "hello");
  EXPECT_EQ(client.ask("POST /refused HTTP/1.1\r\nHost: h\r\n" + kExpect).status, 404);
  EXPECT_TRUE(client.at_end());
  Client large(server.port());
  Answer answer = large.ask(
      "POST /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
      "Content-Length: 7000000\r\n\r\n");
  expect_error(answer, 413, "too_large", "body_bytes_max");
}

TEST(Admit, ARefusalWithoutABodyKeepsTheConnection) {
  ServerThread server({}, admit_by_path);
  Client client(server.port());
  EXPECT_EQ(client.get("/refused").status, 404);
  EXPECT_EQ(client.get("/hello").body, "hello");
  Answer answer = client.ask(post("/refused", "body"));
  EXPECT_EQ(answer.status, 404);
  EXPECT_EQ(answer.header("Connection"), "close");
}

TEST(Admit, ALargerBodyGoesToAFileAndCostsNoMemory) {
  ServerThread server({}, admit_by_path);
  Client client(server.port());
  Answer answer = client.ask(post("/file", std::string(20 << 20, 'x')));
  std::string path = answer.body.substr(0, answer.body.find(' '));
  EXPECT_EQ(answer.body, path + " 20971520");
  EXPECT_TRUE(path.starts_with(testing::TempDir()));
  EXPECT_EQ(client.get("/hello").body, "hello");
  EXPECT_FALSE(std::filesystem::exists(path));
  EXPECT_EQ(server.counters().buffered_bytes, 0u);
}

TEST(Admit, AFolderThatCannotBeWrittenIsA503) {
  ServerThread server({}, admit_by_path);
  Client client(server.port());
  Answer answer = client.ask(post("/no-folder", "x"));
  expect_error(answer, 503, "overloaded", "");
  EXPECT_EQ(answer.header("Retry-After"), "1");
}

// Lowers the limit on descriptors for the whole process while it lives. Nothing is expected
// meanwhile: the sanitizers need descriptors of their own.
struct FewDescriptors {
  explicit FewDescriptors(rlim_t soft) {
    ::getrlimit(RLIMIT_NOFILE, &before);
    rlimit limit{soft, before.rlim_max};
    sys::check(::setrlimit(RLIMIT_NOFILE, &limit), "setrlimit");
  }
  ~FewDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before); }
  rlimit before{};
};

struct Address {
  explicit Address(int connected) {
    sys::check(::getpeername(connected, reinterpret_cast<sockaddr*>(&storage), &size), "peer");
  }
  int connect(int fd) const {
    return ::connect(fd, reinterpret_cast<const sockaddr*>(&storage), size);
  }
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
};

TEST(Descriptors, WhenTheyRunOutTheClientIsToldAndServiceGoesOn) {
  ServerThread server;
  Client early(server.port());
  EXPECT_EQ(early.get("/hello").body, "hello");
  Address address(early.fd());
  Client refused(sys::Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)));
  Answer refusal, meanwhile;
  {
    FewDescriptors few(static_cast<rlim_t>(refused.fd()) + 1);
    if (address.connect(refused.fd()) == 0) refusal = refused.answer();
    meanwhile = early.get("/hello");
  }
  expect_error(refusal, 503, "overloaded", "connections_max");
  EXPECT_EQ(meanwhile.body, "hello");
  EXPECT_EQ(server.counters().accept_failures, 1u);
  Client later(server.port());
  EXPECT_EQ(later.get("/hello").body, "hello");
}

TEST(Descriptors, WithNotEvenASpareOneAcceptingPausesInsteadOfSpinning) {
  ServerThread server;
  Client early(server.port());
  EXPECT_EQ(early.get("/hello").body, "hello");
  Address address(early.fd());
  Client waiting(sys::Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)));
  bool failed = false;
  Answer meanwhile;
  {
    FewDescriptors few(3);
    failed = address.connect(waiting.fd()) == 0 &&
             server.wait_for([](const Counters& c) { return c.accept_failures > 0; });
    std::this_thread::sleep_for(milliseconds(250));
    meanwhile = early.get("/hello");
  }
  EXPECT_TRUE(failed);
  EXPECT_LE(server.counters().accept_failures, 10u);
  EXPECT_EQ(meanwhile.body, "hello");
  EXPECT_EQ(waiting.get("/hello").body, "hello");
}

}  // namespace
}  // namespace hearth::http
