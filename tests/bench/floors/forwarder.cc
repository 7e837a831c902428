// SPDX-License-Identifier: Apache-2.0
// The floor of a warm call: a bare libuv and llhttp server that forwards each body over a
// socketpair to one of N processes, which answer it: forked ones that echo, or a program that finds
// its end at descriptor 3. A length (four bytes, of this host's order) comes before each body. No
// isolation, no limits, no metering, no logs.
//
// Usage: forwarder [WORKERS [PROGRAM [ARGUMENT...]]]; prints the port.
#include <fcntl.h>
#include <llhttp.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <string>
#include <vector>

namespace {

constexpr size_t kHead = sizeof(uint32_t);

struct Client;
struct Worker {
  int fd = -1;
  uv_poll_t poll{};
  Client* client = nullptr;
  size_t sent = 0;      // of the length and the body
  std::string answer;   // as long as it will be, once its length is known
  size_t received = 0;  // of the length and the answer
  uint32_t length = 0;
};

struct Client {
  uv_tcp_t tcp{};
  llhttp_t parser{};
  std::string body;
  char buffer[64 * 1024];
  bool gone = false;
  bool pending = false;  // its request waits or runs
};

// What the socket did not take at once.
struct Rest {
  uv_write_t write{};
  std::string answer;
};

std::vector<Worker> workers;
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
    message.msg_iovlen = size == 0 ? 1 : 2;
    ssize_t sent = ::sendmsg(fd, &message, 0);
    if (sent != ssize_t(size + sizeof size)) _exit(1);
  }
}

void watch(Worker& worker, int events);

// Sends what is left of the length and the body.
void feed(Worker& worker) {
  std::string& body = worker.client->body;
  auto size = uint32_t(body.size());
  if (worker.sent < kHead + size) {
    size_t of_head = std::min(worker.sent, kHead), of_body = worker.sent - of_head;
    iovec parts[2] = {{reinterpret_cast<char*>(&size) + of_head, kHead - of_head},
                      {body.data() + of_body, size - of_body}};
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = 2;
    ssize_t n = ::sendmsg(worker.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) std::abort();
    worker.sent += size_t(std::max<ssize_t>(n, 0));
    if (worker.sent < kHead + size) watch(worker, UV_READABLE | UV_WRITABLE);
  }
}

void send_to(Worker& worker, Client* client) {
  worker.client = client;
  worker.sent = worker.received = 0;
  feed(worker);
}

void release(Client* client) {
  uv_close(reinterpret_cast<uv_handle_t*>(&client->tcp),
           [](uv_handle_t* h) { delete static_cast<Client*>(h->data); });
}

void reply(Client* client, std::string& answer) {
  char head[128];
  int n = std::snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n",
                        answer.size());
  uv_buf_t parts[2] = {uv_buf_init(head, unsigned(n)),
                       uv_buf_init(answer.data(), unsigned(answer.size()))};
  auto* stream = reinterpret_cast<uv_stream_t*>(&client->tcp);
  int written = std::max(uv_try_write(stream, parts, 2), 0);
  if (written == n + int(answer.size())) return;
  auto* rest = new Rest;
  rest->write.data = rest;
  if (written < n) {
    rest->answer.assign(head + written, size_t(n - written));
    rest->answer += answer;
  } else {
    rest->answer.swap(answer);
  }
  size_t skipped = written < n ? 0 : size_t(written - n);
  uv_buf_t left =
      uv_buf_init(rest->answer.data() + skipped, unsigned(rest->answer.size() - skipped));
  uv_write(&rest->write, stream, &left, 1,
           [](uv_write_t* write, int) { delete static_cast<Rest*>(write->data); });
}

void answer(Worker& worker) {
  Client* client = worker.client;
  worker.client = nullptr;
  client->pending = false;
  if (client->gone) {
    release(client);
  } else {
    reply(client, worker.answer);
  }
  if (waiting.empty()) return idle.push_back(&worker);
  Client* next = waiting.front();
  waiting.pop_front();
  send_to(worker, next);
}

// The length and a short answer come by one call; the rest of a long one goes where it belongs.
void receive(Worker& worker) {
  static char buffer[64 * 1024];
  while (worker.client != nullptr) {
    bool headless = worker.received < kHead;
    size_t at = headless ? 0 : worker.received - kHead;
    iovec parts[2] = {{reinterpret_cast<char*>(&worker.length) + worker.received,
                       headless ? kHead - worker.received : 0},
                      {headless ? buffer : worker.answer.data() + at,
                       headless ? sizeof buffer : worker.length - at}};
    msghdr message{};
    message.msg_iov = headless ? parts : parts + 1;
    message.msg_iovlen = headless ? 2 : 1;
    ssize_t n = ::recvmsg(worker.fd, &message, MSG_DONTWAIT);
    if (n == 0) std::abort();
    if (n < 0) return;
    worker.received += size_t(n);
    if (worker.received < kHead) return;
    if (headless) {
      worker.answer.resize(worker.length);
      std::memcpy(worker.answer.data(), buffer, worker.received - kHead);
    }
    if (worker.received == kHead + worker.length) return answer(worker);
    // A short read has emptied the socket.
    if (size_t(n) < 64 * 1024) return;
  }
}

void on_worker(uv_poll_t* poll, int, int events) {
  Worker& worker = *static_cast<Worker*>(poll->data);
  if ((events & UV_WRITABLE) != 0 && worker.client != nullptr) {
    feed(worker);
    if (worker.sent == kHead + worker.client->body.size()) watch(worker, UV_READABLE);
  }
  if ((events & UV_READABLE) != 0) receive(worker);
}

void watch(Worker& worker, int events) {
  uv_poll_start(&worker.poll, events, on_worker);
}

int on_headers(llhttp_t* parser) {
  static_cast<Client*>(parser->data)->body.reserve(parser->content_length);
  return 0;
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

// One more process that answers; with a program in its place if there is one.
void add_worker(Worker& worker, char** program) {
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) std::abort();
  if (::fork() == 0) {
    if (*program == nullptr) {
      ::close(pair[0]);
      echo(pair[1]);
    }
    // Through another number, since dup2 onto the same one would keep the flag that closes it.
    int end = ::fcntl(pair[1], F_DUPFD_CLOEXEC, 100);
    ::dup2(end, 3);
    ::execvp(*program, program);
    std::perror(*program);
    _exit(127);
  }
  ::close(pair[1]);
  worker.fd = pair[0];
}

}  // namespace

int main(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN);  // a client that goes before its answer
  workers.resize(argc > 1 ? size_t(std::atoi(argv[1])) : 8);
  char* none[] = {nullptr};
  uv_loop_t* loop = uv_default_loop();
  for (Worker& worker : workers) add_worker(worker, argc > 2 ? argv + 2 : none);
  for (Worker& worker : workers) {
    uv_poll_init(loop, &worker.poll, worker.fd);
    worker.poll.data = &worker;
    watch(worker, UV_READABLE);
    idle.push_back(&worker);
  }
  llhttp_settings_init(&settings);
  settings.on_message_begin = on_begin;
  settings.on_headers_complete = on_headers;
  settings.on_body = on_body;
  settings.on_message_complete = on_complete;
  uv_tcp_t server;
  uv_tcp_init(loop, &server);
  sockaddr_in address;
  uv_ip4_addr("127.0.0.1", 0, &address);
  uv_tcp_bind(&server, reinterpret_cast<sockaddr*>(&address), 0);
  if (uv_listen(reinterpret_cast<uv_stream_t*>(&server), 1024, on_connection) != 0) return 1;
  int size = sizeof address;
  uv_tcp_getsockname(&server, reinterpret_cast<sockaddr*>(&address), &size);
  std::printf("%d\n", ntohs(address.sin_port));
  std::fflush(stdout);
  uv_run(loop, UV_RUN_DEFAULT);
  return 0;
}
