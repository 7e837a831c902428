// SPDX-License-Identifier: Apache-2.0
// The floor of a warm call: a bare libuv and llhttp server that forwards each body over a
// socketpair to one of 8 forked processes, which echo it. No isolation, no limits, no metering, no
// logs. Usage: forwarder [PORT]; prints the port.
#include <llhttp.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <string>
#include <vector>

namespace {

constexpr int kWorkers = 8;

struct Client;
struct Worker {
  int fd = -1;
  uv_poll_t poll{};
  Client* client = nullptr;
  std::string answer;
  uint32_t expected = 0;
};

struct Client {
  uv_tcp_t tcp{};
  llhttp_t parser{};
  std::string body;
  char buffer[64 * 1024];
  bool gone = false;
  bool pending = false;  // its request waits or runs
};

std::vector<Worker> workers(kWorkers);
std::vector<Worker*> idle;
std::deque<Client*> waiting;
llhttp_settings_t settings;

[[noreturn]] void echo(int fd) {
  std::string body;
  for (;;) {
    uint32_t size = 0;
    if (::recv(fd, &size, sizeof size, MSG_WAITALL) != sizeof size) _exit(0);
    body.resize(size);
    if (size != 0 && ::recv(fd, body.data(), size, MSG_WAITALL) != ssize_t(size)) _exit(0);
    iovec parts[2] = {{&size, sizeof size}, {body.data(), size}};
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = 2;
    if (::sendmsg(fd, &message, 0) < 0) _exit(0);
  }
}

void send_to(Worker& worker, Client* client) {
  worker.client = client;
  worker.answer.clear();
  auto size = uint32_t(client->body.size());
  worker.expected = size;
  iovec parts[2] = {{&size, sizeof size}, {client->body.data(), size}};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  if (::sendmsg(worker.fd, &message, 0) != ssize_t(size + sizeof size)) std::abort();
}

void release(Client* client) {
  uv_close(reinterpret_cast<uv_handle_t*>(&client->tcp),
           [](uv_handle_t* h) { delete static_cast<Client*>(h->data); });
}

void answer(Worker& worker) {
  Client* client = worker.client;
  worker.client = nullptr;
  client->pending = false;
  if (client->gone) {
    release(client);
  } else {
    char head[128];
    int n = std::snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %u\r\n\r\n",
                          worker.expected);
    uv_buf_t parts[2] = {uv_buf_init(head, unsigned(n)),
                         uv_buf_init(worker.answer.data() + 4, worker.expected)};
    uv_try_write(reinterpret_cast<uv_stream_t*>(&client->tcp), parts, 2);
  }
  if (waiting.empty()) return idle.push_back(&worker);
  Client* next = waiting.front();
  waiting.pop_front();
  send_to(worker, next);
}

void on_worker(uv_poll_t* poll, int, int) {
  Worker& worker = *static_cast<Worker*>(poll->data);
  static char buffer[64 * 1024];
  ssize_t n = ::recv(worker.fd, buffer, sizeof buffer, MSG_DONTWAIT);
  if (n <= 0) return;
  worker.answer.append(buffer, size_t(n));
  if (worker.answer.size() == worker.expected + 4) answer(worker);
}

int on_body(llhttp_t* parser, const char* at, size_t length) {
  static_cast<Client*>(parser->data)->body.append(at, length);
  return 0;
}

int on_complete(llhttp_t* parser) {
  auto* client = static_cast<Client*>(parser->data);
  client->pending = true;
  if (idle.empty()) {
    waiting.push_back(client);
  } else {
    Worker* worker = idle.back();
    idle.pop_back();
    send_to(*worker, client);
  }
  return 0;
}

int on_begin(llhttp_t* parser) {
  static_cast<Client*>(parser->data)->body.clear();
  return 0;
}

void on_read(uv_stream_t* stream, ssize_t n, const uv_buf_t* buffer) {
  auto* client = static_cast<Client*>(stream->data);
  if (n < 0) {
    client->gone = true;
    uv_read_stop(stream);
    if (!client->pending) release(client);
    return;
  }
  llhttp_execute(&client->parser, buffer->base, size_t(n));
}

void on_connection(uv_stream_t* server, int) {
  auto* client = new Client;
  uv_tcp_init(server->loop, &client->tcp);
  client->tcp.data = client;
  if (uv_accept(server, reinterpret_cast<uv_stream_t*>(&client->tcp)) != 0) return release(client);
  uv_tcp_nodelay(&client->tcp, 1);
  llhttp_init(&client->parser, HTTP_REQUEST, &settings);
  client->parser.data = client;
  uv_read_start(
      reinterpret_cast<uv_stream_t*>(&client->tcp),
      [](uv_handle_t* h, size_t, uv_buf_t* b) {
        auto* c = static_cast<Client*>(h->data);
        *b = uv_buf_init(c->buffer, sizeof c->buffer);
      },
      on_read);
}

}  // namespace

int main(int argc, char** argv) {
  for (Worker& worker : workers) {
    int pair[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) return 1;
    if (::fork() == 0) {
      ::close(pair[0]);
      echo(pair[1]);
    }
    ::close(pair[1]);
    worker.fd = pair[0];
    idle.push_back(&worker);
  }
  uv_loop_t* loop = uv_default_loop();
  for (Worker& worker : workers) {
    uv_poll_init(loop, &worker.poll, worker.fd);
    worker.poll.data = &worker;
    uv_poll_start(&worker.poll, UV_READABLE, on_worker);
  }
  llhttp_settings_init(&settings);
  settings.on_message_begin = on_begin;
  settings.on_body = on_body;
  settings.on_message_complete = on_complete;
  uv_tcp_t server;
  uv_tcp_init(loop, &server);
  sockaddr_in address;
  uv_ip4_addr("127.0.0.1", argc > 1 ? std::atoi(argv[1]) : 0, &address);
  uv_tcp_bind(&server, reinterpret_cast<sockaddr*>(&address), 0);
  if (uv_listen(reinterpret_cast<uv_stream_t*>(&server), 1024, on_connection) != 0) return 1;
  int size = sizeof address;
  uv_tcp_getsockname(&server, reinterpret_cast<sockaddr*>(&address), &size);
  std::printf("%d\n", ntohs(address.sin_port));
  std::fflush(stdout);
  uv_run(loop, UV_RUN_DEFAULT);
  return 0;
}
