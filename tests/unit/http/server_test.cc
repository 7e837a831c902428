// SPDX-License-Identifier: Apache-2.0
#include "daemon/http/server.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <filesystem>
#include <thread>
#include <utility>

#include "daemon/http/listener.h"
#include "sandbox/sys/error.h"
#include "tests/unit/http/server_thread.h"

namespace hearth::http {
namespace {

TEST(Server, KeepsAConnectionOpenForFurtherRequests) {
  ServerThread server;
  Client client(server.port());
  for (int i = 0; i < 100; ++i) {
    Answer answer = client.get("/query?" + std::to_string(i));
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.body, std::to_string(i));
    EXPECT_EQ(answer.header("Connection"), "");
  }
  Counters counters = server.counters();
  EXPECT_EQ(counters.connections_accepted, 1u);
  EXPECT_EQ(counters.requests, 100u);
}

TEST(Server, ClosesWhenAskedTo) {
  ServerThread server;
  Client client(server.port());
  Answer answer = client.ask("GET /hello HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(answer.body, "hello");
  EXPECT_EQ(answer.header("Connection"), "close");
  EXPECT_TRUE(client.at_end());
}

TEST(Server, SpeaksHttp10) {
  ServerThread server;
  Client once(server.port());
  EXPECT_EQ(once.ask("GET /hello HTTP/1.0\r\n\r\n").body, "hello");
  EXPECT_TRUE(once.at_end());
  Client kept(server.port());
  Answer answer = kept.ask("GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_EQ(answer.header("Connection"), "keep-alive");
  EXPECT_EQ(kept.ask("GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").body, "hello");
  // No chunks in 1.0: the end of the stream is the end of the connection.
  Answer stream = kept.ask("GET /stream?3 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_EQ(stream.header("Transfer-Encoding"), "");
  EXPECT_EQ(stream.header("Connection"), "close");
  EXPECT_EQ(stream.body, "piece 0\npiece 1\npiece 2\n");
}

TEST(Server, AnswersHeadWithoutABody) {
  ServerThread server;
  Client client(server.port());
  client.send(
      "HEAD /big?1000 HTTP/1.1\r\nHost: h\r\n\r\nHEAD /stream?3 HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(client.answer(true).header("Content-Length"), "1000");
  EXPECT_EQ(client.answer(true).header("Transfer-Encoding"), "chunked");
  EXPECT_EQ(client.get("/hello").body, "hello");
}

TEST(Server, SomeStatusesHaveNoBody) {
  ServerThread server;
  Client client(server.port());
  Answer answer = client.get("/status?204");
  EXPECT_EQ(answer.status, 204);
  EXPECT_EQ(answer.header("Content-Length"), "");
  EXPECT_EQ(client.get("/status?304").status, 304);
  EXPECT_EQ(client.get("/status?404").body, "x");
}

TEST(Server, TakesRequestsInAnyPieces) {
  ServerThread server;
  Client client(server.port());
  std::string request = post("/echo", "hello") + "GET /hello HTTP/1.1\r\nHost: h\r\n\r\n";
  for (char c : request) {
    client.send({&c, 1});
    std::this_thread::yield();
  }
  EXPECT_EQ(client.answer().body, "hello");
  EXPECT_EQ(client.answer().body, "hello");
}

TEST(Server, AnswersTenThousandPipelinedRequestsInOrder) {
  ServerThread server;
  Client client(server.port());
  constexpr int kRequests = 10'000;
  std::thread sender([&] {
    std::string all;
    for (int i = 0; i < kRequests; ++i) {
      std::string body = std::to_string(i);
      all += i % 3 ? "GET /query?" + body + " HTTP/1.1\r\nHost: h\r\n\r\n" : post("/echo", body);
    }
    EXPECT_TRUE(client.send(all));
  });
  int wrong = 0;
  for (int i = 0; i < kRequests; ++i) {
    if (client.answer().body != std::to_string(i)) ++wrong;
  }
  sender.join();
  EXPECT_EQ(wrong, 0);
}

TEST(Server, CarriesSixMebibytesBothWays) {
  ServerThread server;
  Client client(server.port());
  std::string body(6 << 20, '\0');
  for (size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>(i * 2654435761u >> 13);
  for (int i = 0; i < 3; ++i) {
    std::thread sender([&] { client.send(post("/echo", body)); });
    Answer answer = client.answer();
    sender.join();
    EXPECT_TRUE(answer.body == body);
  }
  std::string chunked = "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (size_t at = 0; at < body.size(); at += 1 << 20) {
    chunked += "100000\r\n" + body.substr(at, 1 << 20) + "\r\n";
  }
  std::thread sender([&] { client.send(chunked + "0\r\n\r\n"); });
  Answer answer = client.answer();
  sender.join();
  EXPECT_TRUE(answer.body == body);
  EXPECT_EQ(server.counters().buffered_bytes, 0u);
}

TEST(Server, StreamsAnAnswerInChunks) {
  ServerThread server;
  Client client(server.port());
  Answer answer = client.get("/stream?1000");
  EXPECT_TRUE(answer.complete);
  EXPECT_TRUE(answer.body.starts_with("piece 0\npiece 1\n"));
  EXPECT_TRUE(answer.body.ends_with("piece 999\n"));
  EXPECT_EQ(client.get("/stream?0").body, "");
  EXPECT_EQ(client.get("/hello").body, "hello");
}

TEST(Server, AStreamWaitsForASlowReader) {
  ServerThread server;
  Client client(server.port());
  client.send("GET /flood HTTP/1.1\r\nHost: h\r\n\r\n");
  std::string got = client.receive(1 << 20);
  uint64_t before = 0;
  ASSERT_TRUE(server.wait_for([&](const Counters& c) {  // nothing more leaves
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    return before == std::exchange(before, c.bytes_out);
  }));
  EXPECT_LT(before, uint64_t{32} << 20);
  EXPECT_EQ(client.receive(16 << 20).size(), size_t{16} << 20);
  client.close();
  EXPECT_TRUE(server.wait_for([](const Counters& c) { return c.connections_open == 0; }));
  EXPECT_EQ(server.handlers_alive, 0);
}

TEST(Server, AnExceptionOfAHandlerIsA500) {
  ServerThread server;
  Client client(server.port());
  Answer answer = client.get("/throw");
  EXPECT_EQ(answer.status, 500);
  EXPECT_NE(answer.body.find("\"kind\":\"internal\""), std::string::npos);
  EXPECT_EQ(client.get("/hello").body, "hello");
}

TEST(Server, AnExceptionOfAStreamCutsTheConnection) {
  ServerThread server;
  Client client(server.port());
  Answer answer = client.get("/stream-throw");
  EXPECT_EQ(answer.body, "one");
  EXPECT_FALSE(answer.complete);
}

TEST(Server, DrainsBusyConnectionsAndClosesIdleOnes) {
  ServerThread server;
  Client idle(server.port()), busy(server.port());
  EXPECT_EQ(idle.get("/hello").body, "hello");
  busy.send("GET /release HTTP/1.1\r\nHost: h\r\n\r\n");
  ASSERT_TRUE(server.wait_for([](const Counters& c) { return c.requests == 2; }));
  server.on_loop([](Server& s) { s.begin_drain(); });
  EXPECT_TRUE(idle.at_end());
  EXPECT_THROW(connect_tcp(server.port()), sys::Error);
  EXPECT_FALSE(server.drained);
  server.release();
  Answer answer = busy.answer();
  EXPECT_EQ(answer.body, "released");
  EXPECT_EQ(answer.header("Connection"), "close");
  EXPECT_TRUE(busy.at_end());
  ASSERT_TRUE(server.wait_for([](const Counters& c) { return c.connections_open == 0; }));
  EXPECT_TRUE(server.drained);
}

TEST(Server, ServesWhoConnectedBeforeADrainAndAskedAfterIt) {
  ServerThread server;
  Client asks(server.port()), silent(server.port());
  ASSERT_TRUE(server.wait_for([](const Counters& c) { return c.connections_open == 2; }));
  server.on_loop([](Server& s) { s.begin_drain(); });
  Answer answer = asks.get("/hello");
  EXPECT_EQ(answer.body, "hello");
  EXPECT_EQ(answer.header("Connection"), "close");
  EXPECT_TRUE(asks.at_end());
  EXPECT_FALSE(server.drained);
  server.on_loop([](Server& s) { s.close_silent(); });
  EXPECT_TRUE(silent.at_end());
  ASSERT_TRUE(server.wait_for([](const Counters& c) { return c.connections_open == 0; }));
}

struct Folder {
  Folder() : path(testing::TempDir() + "/hearth-http-" + std::to_string(::getpid())) {
    std::filesystem::create_directory(path);
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string path;
};

TEST(Server, KnowsThePeerOfAUnixSocket) {
  Folder folder;
  std::string path = folder.path + "/s";
  {
    ServerThread server({}, {}, path);
    struct stat status {};
    ASSERT_EQ(::stat(path.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777, 0660u);
    Client client(path);
    EXPECT_EQ(client.get("/peer").body,
              "unix " + std::to_string(::getuid()) + " " + std::to_string(::getpid()));
    Client tcp(server.port());
    EXPECT_EQ(tcp.get("/peer").body, "tcp 127.0.0.1");
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

loop::Task<Response> nothing(Request&) {
  co_return Response{};
}

TEST(Server, ReplacesAStaleSocketButNotALivingOne) {
  Folder folder;
  std::string path = folder.path + "/s";
  loop::Loop loop;
  {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, path.size());
    sys::Fd stale(sys::check(::socket(AF_UNIX, SOCK_STREAM, 0), "socket"));
    sys::check(::bind(stale.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), "bind");
  }
  ASSERT_TRUE(std::filesystem::exists(path));
  Server first(loop, {}, nothing), second(loop, {}, nothing);
  first.listen_unix(path, 0600);
  EXPECT_THROW(second.listen_unix(path, 0600), sys::Error);
  EXPECT_TRUE(std::filesystem::exists(path));
  EXPECT_THROW(second.listen_unix(std::string(200, 'x'), 0600), sys::Error);
  EXPECT_THROW(second.listen_unix(folder.path + "/none/s", 0600), sys::Error);
  std::string file = folder.path + "/file";
  std::filesystem::copy_file("/proc/self/comm", file);
  EXPECT_THROW(second.listen_unix(file, 0600), sys::Error);
  EXPECT_TRUE(std::filesystem::exists(file));
  EXPECT_THROW(second.listen_tcp("not an address", 0), sys::Error);
}

TEST(Server, LeavesASocketFileAloneThatIsNoLongerItsOwn) {
  Folder folder;
  std::string path = folder.path + "/s";
  loop::Loop loop;
  {
    Server server(loop, {}, nothing);
    server.listen_unix(path, 0600);
    std::filesystem::rename(path, path + ".old");
    std::filesystem::copy_file("/proc/self/comm", path);
  }
  EXPECT_TRUE(std::filesystem::exists(path));
}

TEST(Server, AdoptsAListenerAndNothingElse) {
  loop::Loop loop;
  Server refusing(loop, {}, nothing);
  int plain = sys::check(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
  EXPECT_THROW(refusing.adopt_listener(sys::Fd(plain)), sys::Error);
  EXPECT_THROW(refusing.adopt_listener(sys::Fd()), sys::Error);

  sys::Fd listener = bind_tcp("127.0.0.1", 0);
  uint16_t port = bound_port(listener.get());
  ServerThread server;
  server.on_loop([&](Server& s) { s.adopt_listener(std::move(listener)); });
  Client client(port);
  EXPECT_EQ(client.get("/hello").body, "hello");
}

}  // namespace
}  // namespace hearth::http
