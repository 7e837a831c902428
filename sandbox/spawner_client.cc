// SPDX-License-Identifier: Apache-2.0
#include "sandbox/spawner_client.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cstring>
#include <deque>
#include <vector>

#include "sandbox/sys/error.h"
#include "sandbox/wire.h"

namespace hearth::sandbox {
namespace {

constexpr int kSpawnerSocket = 3;
constexpr int kStartMilliseconds = 10'000;
constexpr size_t kUnsentMax = 16384;

// In the new process: the socket becomes descriptor 3, everything above it goes.
[[noreturn]] void exec_spawner(const char* path, char* const* argv, int socket) {
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  bool placed = socket == kSpawnerSocket ? ::fcntl(socket, F_SETFD, 0) == 0
                                         : ::dup2(socket, kSpawnerSocket) >= 0;
  if (placed && ::close_range(kSpawnerSocket + 1, ~0u, 0) == 0) ::execv(path, argv);
  _exit(127);
}

pid_t start(const std::string& path, const SpawnerPolicy& policy, int socket) {
  std::vector<std::string> arguments = to_arguments(policy);
  std::vector<char*> argv = {const_cast<char*>("hearth-spawner")};
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  sys::check(::access(path.c_str(), X_OK), "exec", path);
  pid_t pid = sys::check(::fork(), "fork", path);
  if (pid == 0) exec_spawner(path.c_str(), argv.data(), socket);
  return pid;
}

// One answer with its descriptors; those not taken from here are closed.
struct Packet {
  size_t bytes = 0;
  bool cut = false;  // descriptors were lost: this process has too many open
  wire::AnswerBytes answer;
  std::vector<sys::Fd> descriptors;
};

std::optional<Packet> receive_packet(int socket) {
  Packet packet;
  iovec part{packet.answer.data(), packet.answer.size()};
  alignas(cmsghdr) char ancillary[CMSG_SPACE(sizeof(int) * wire::kDescriptorsMax)];
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = ancillary;
  message.msg_controllen = sizeof ancillary;
  ssize_t got;
  do got = ::recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  while (got < 0 && errno == EINTR);
  if (got < 0 && errno == EAGAIN) return std::nullopt;
  sys::check(got, "recvmsg", "spawner");
  if (got == 0) throw sys::Error("recvmsg", "spawner", ECONNRESET);
  packet.bytes = size_t(got);
  packet.cut = message.msg_flags & MSG_CTRUNC;
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    for (size_t at = 0; at + sizeof(int) <= c->cmsg_len - CMSG_LEN(0); at += sizeof(int)) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(c) + at, sizeof fd);
      packet.descriptors.emplace_back(fd);
    }
  }
  return packet;
}

[[noreturn]] void malformed() {
  throw sys::Error("recvmsg", "spawner", EPROTO);
}

}  // namespace

struct SpawnerClient::State {
  sys::Fd socket;
  pid_t pid = -1;
  std::deque<wire::RequestBytes> unsent;

  bool send_one(const wire::RequestBytes& bytes) {
    ssize_t sent;
    do sent = ::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    if (sent < 0 && errno == EAGAIN) return false;
    // Both mean that the spawner is gone; receive() tells the same.
    if (sent < 0 && errno == EPIPE) throw sys::Error("send", "spawner", ECONNRESET);
    sys::check(sent, "send", "spawner");
    return true;
  }

  void send(const wire::Request& request) {
    wire::RequestBytes bytes = wire::encode(request);
    if (unsent.empty() && send_one(bytes)) return;
    if (unsent.size() >= kUnsentMax) throw sys::Error("send", "spawner's queue", ENOBUFS);
    unsent.push_back(bytes);
  }

  Answer created(const wire::CreatedAnswer& answer, Packet& packet) {
    if (packet.cut) {
      // Without its descriptors nobody could use or kill it: it goes, and the caller hears why.
      send(wire::Remove{answer.id});
      ignored_removals.push_back(answer.id);
      return Refused{answer.id, Failure{"receive descriptors", "spawner", EMFILE}};
    }
    Created created{answer.id, {}, answer.init_host_pid};
    size_t next = 0, bit = 0;
    for (sys::Fd* member : wire::members(created.descriptors)) {
      if (!(answer.descriptors >> bit++ & 1)) continue;
      if (next == packet.descriptors.size()) malformed();
      *member = std::move(packet.descriptors[next++]);
    }
    if (next != packet.descriptors.size()) malformed();
    int flags = sys::check(::fcntl(created.descriptors.control.get(), F_GETFL), "fcntl", "control");
    sys::check(::fcntl(created.descriptors.control.get(), F_SETFL, flags | O_NONBLOCK), "fcntl",
               "control");
    return created;
  }

  // Removals that this class asked for itself: their answers are nobody's.
  std::deque<uint64_t> ignored_removals;
  bool ignore(uint64_t id) {
    for (auto at = ignored_removals.begin(); at != ignored_removals.end(); ++at) {
      if (*at != id) continue;
      ignored_removals.erase(at);
      return true;
    }
    return false;
  }

  std::optional<Answer> receive() {
    while (std::optional<Packet> packet = receive_packet(socket.get())) {
      std::optional<wire::Answer> answer =
          wire::decode_answer(std::span(packet->answer).first(packet->bytes));
      if (!answer) malformed();
      if (auto* made = std::get_if<wire::CreatedAnswer>(&*answer)) return created(*made, *packet);
      if (!packet->descriptors.empty()) malformed();
      if (auto* refused = std::get_if<wire::RefusedAnswer>(&*answer)) {
        if (ignore(refused->id)) continue;
        return Refused{refused->id, refused->failure};
      }
      uint64_t id = std::get<wire::DoneAnswer>(*answer).id;
      if (!ignore(id)) return Done{id};
    }
    return std::nullopt;
  }

  // The spawner's first words: an answer under id 0.
  void await_start() {
    pollfd readable{socket.get(), POLLIN, 0};
    int count;
    do count = ::poll(&readable, 1, kStartMilliseconds);
    while (count < 0 && errno == EINTR);
    if (count == 0) throw sys::Error("start", "hearth-spawner", ETIMEDOUT);
    std::optional<Answer> answer = receive();
    if (!answer) malformed();
    if (auto* refused = std::get_if<Refused>(&*answer)) {
      const Failure& failure = refused->failure;
      throw sys::Error("hearth-spawner: " + failure.step, failure.object, failure.error);
    }
  }

  ~State() {
    socket.reset();
    while (pid > 0 && ::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
};

SpawnerClient::SpawnerClient(const std::string& spawner_path, const SpawnerPolicy& policy)
    : state_(std::make_unique<State>()) {
  int ends[2];
  sys::check(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), "socketpair");
  state_->socket.reset(ends[0]);
  sys::Fd theirs(ends[1]);
  state_->pid = start(spawner_path, policy, theirs.get());
  theirs.reset();
  state_->await_start();
}

SpawnerClient::~SpawnerClient() = default;

int SpawnerClient::fd() const {
  return state_->socket.get();
}
int32_t SpawnerClient::pid() const {
  return state_->pid;
}

namespace {

void check_text(const char* field, const std::string& text, size_t bytes_max) {
  if (text.size() > bytes_max || text.find('\0') != std::string::npos) {
    throw sys::Error("spawner request", field, EINVAL);
  }
}

}  // namespace

void SpawnerClient::create(const Spec& spec) {
  check_text("tenant", spec.tenant, wire::kNameBytesMax);
  check_text("function", spec.function, wire::kNameBytesMax);
  check_text("image", spec.image, wire::kNameBytesMax);
  check_text("bundle", spec.bundle, wire::kBundleBytes);
  state_->send(wire::Create{spec});
}

void SpawnerClient::specialise(uint64_t id, const std::string& bundle, const Limits& limits,
                               const std::string& function) {
  check_text("function", function, wire::kNameBytesMax);
  check_text("bundle", bundle, wire::kBundleBytes);
  state_->send(wire::Specialise{id, function, bundle, limits});
}

void SpawnerClient::remove(uint64_t id) {
  state_->send(wire::Remove{id});
}

void SpawnerClient::kill(uint64_t id) {
  state_->send(wire::Kill{id});
}

void SpawnerClient::prune(uint64_t request, const std::string& tenant,
                          const std::string& function) {
  check_text("tenant", tenant, wire::kNameBytesMax);
  check_text("function", function, wire::kNameBytesMax);
  state_->send(wire::Prune{request, tenant, function});
}

void SpawnerClient::purge(uint64_t request) {
  state_->send(wire::Purge{request});
}

bool SpawnerClient::wants_write() const {
  return !state_->unsent.empty();
}

void SpawnerClient::flush() {
  while (!state_->unsent.empty() && state_->send_one(state_->unsent.front())) {
    state_->unsent.pop_front();
  }
}

std::optional<Answer> SpawnerClient::receive() {
  return state_->receive();
}

}  // namespace hearth::sandbox
