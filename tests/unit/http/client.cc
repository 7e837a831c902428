// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cstring>

#include "sandbox/sys/error.h"
#include "tests/unit/http/server_thread.h"

namespace hearth::http {
namespace {

void set_timeouts(int fd) {
  timeval limit{10, 0};
  sys::check(::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), "SO_RCVTIMEO");
  sys::check(::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit), "SO_SNDTIMEO");
}

}  // namespace

sys::Fd connect_tcp(uint16_t port) {
  sys::Fd fd(sys::check(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
  set_timeouts(fd.get());
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  sys::check(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), "connect");
  return fd;
}

std::string post(std::string_view target, std::string_view body) {
  return "POST " + std::string(target) +
         " HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
         std::string(body);
}

Client::Client(uint16_t port) : fd_(connect_tcp(port)) {}

Client::Client(const std::string& unix_path)
    : fd_(sys::check(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket")) {
  set_timeouts(fd_.get());
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, unix_path.c_str(), sizeof address.sun_path - 1);
  sys::check(::connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), "connect",
             unix_path);
}

bool Client::send(std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t n = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

bool Client::fill() {
  std::array<char, 64 * 1024> block;
  ssize_t n = ::recv(fd_.get(), block.data(), block.size(), 0);
  if (n > 0) buffer_.append(block.data(), static_cast<size_t>(n));
  return n > 0;
}

std::string Client::receive(size_t bytes) {
  while (buffer_.size() < bytes && fill()) {
  }
  std::string out = buffer_.substr(0, bytes);
  buffer_.erase(0, out.size());
  return out;
}

std::string Client::receive_all() {
  return receive(SIZE_MAX);
}

bool Client::at_end() {
  if (!buffer_.empty()) return false;
  char c;
  return ::recv(fd_.get(), &c, 1, 0) == 0;
}

void Client::finish_sending() {
  sys::check(::shutdown(fd_.get(), SHUT_WR), "shutdown");
}

void Client::reset() {
  linger now{1, 0};
  sys::check(::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now), "SO_LINGER");
  fd_.reset();
}

std::string Answer::header(std::string_view name) const {
  size_t at = head.find("\r\n");
  while (at != std::string::npos && at + 2 < head.size()) {
    std::string_view line = std::string_view(head).substr(at + 2);
    line = line.substr(0, line.find("\r\n"));
    if (line.size() > name.size() && line[name.size()] == ':' &&
        ::strncasecmp(line.data(), name.data(), name.size()) == 0) {
      return std::string(line.substr(name.size() + 2));
    }
    at = head.find("\r\n", at + 2);
  }
  return {};
}

Answer Client::answer(bool to_head) {
  Answer answer;
  size_t end;
  while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
    if (!fill()) return answer;
  }
  answer.head = receive(end + 4);
  answer.status = std::stoi(answer.head.substr(9));
  std::string length = answer.header("Content-Length");
  if (to_head || answer.status == 100 || answer.status == 204 || answer.status == 304) {
    answer.complete = true;
  } else if (!length.empty()) {
    answer.body = receive(std::stoul(length));
    answer.complete = answer.body.size() == std::stoul(length);
  } else if (answer.header("Transfer-Encoding") == "chunked") {
    for (;;) {
      while ((end = buffer_.find("\r\n")) == std::string::npos) {
        if (!fill()) return answer;
      }
      size_t bytes = std::stoul(receive(end + 2), nullptr, 16);
      std::string chunk = receive(bytes + 2);
      if (chunk.size() != bytes + 2 || !chunk.ends_with("\r\n")) return answer;
      answer.body += chunk.substr(0, bytes);
      if (bytes == 0) break;
    }
    answer.complete = true;
  } else {
    answer.body = receive_all();
    answer.complete = true;
  }
  return answer;
}

void expect_error(const Answer& answer, int status, std::string_view kind, std::string_view limit) {
  EXPECT_EQ(answer.status, status) << answer.body;
  EXPECT_EQ(answer.header("Content-Type"), "application/json");
  EXPECT_NE(answer.body.find("{\"error\":{\"kind\":\"" + std::string(kind) + "\""),
            std::string::npos)
      << answer.body;
  std::string wanted =
      limit.empty() ? "\"limit\":null" : "\"limit\":\"" + std::string(limit) + "\"";
  EXPECT_NE(answer.body.find(wanted), std::string::npos) << answer.body;
}

}  // namespace hearth::http
