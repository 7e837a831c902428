// SPDX-License-Identifier: Apache-2.0
#include "daemon/http/listener.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstring>
#include <memory>

#include "daemon/http/shared.h"
#include "sandbox/sys/error.h"

namespace hearth::http {
namespace {

constexpr int kBacklog = 1024;
constexpr int kAcceptsPerTurn = 64;
constexpr std::chrono::milliseconds kPause{100};

void set_option(int fd, int level, int option, const std::string& object) {
  int on = 1;
  sys::check(::setsockopt(fd, level, option, &on, sizeof on), "setsockopt", object);
}

std::vector<uint32_t> groups_of_peer(int fd) {
  static_assert(sizeof(gid_t) == sizeof(uint32_t));
  std::vector<uint32_t> groups(64);
  auto size = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
  int rc = ::getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size);
  if (rc != 0 && errno == ERANGE) {  // `size` is now what it takes
    groups.resize(size / sizeof(gid_t));
    rc = ::getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size);
  }
  sys::check(rc, "SO_PEERGROUPS");
  groups.resize(size / sizeof(gid_t));
  return groups;
}

Peer peer_of(int fd, const sockaddr_storage& address) {
  Peer peer;
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (address.ss_family == AF_INET) {
    const auto& in = reinterpret_cast<const sockaddr_in&>(address);
    ::inet_ntop(AF_INET, &in.sin_addr, text.data(), text.size());
    peer.port = ntohs(in.sin_port);
  } else if (address.ss_family == AF_INET6) {
    const auto& in = reinterpret_cast<const sockaddr_in6&>(address);
    ::inet_ntop(AF_INET6, &in.sin6_addr, text.data(), text.size());
    peer.port = ntohs(in.sin6_port);
  } else {
    ucred credentials{};
    socklen_t size = sizeof credentials;
    sys::check(::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size), "SO_PEERCRED");
    peer.unix = true;
    peer.uid = credentials.uid;
    peer.gid = credentials.gid;
    peer.pid = credentials.pid;
    peer.groups = groups_of_peer(fd);
  }
  peer.address = text.data();
  return peer;
}

// A file that a server left behind when it was killed. Throws when somebody listens on it.
void remove_stale(const std::string& path, const sockaddr_un& address) {
  sys::Fd probe(
      sys::check(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket", path));
  int rc = ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  if (rc == 0 || errno == EAGAIN) throw sys::Error("bind", path, EADDRINUSE);
  if (errno != ECONNREFUSED) return;  // nothing there; else bind will say
  struct stat status {};
  sys::check(::lstat(path.c_str(), &status), "lstat", path);
  if (!S_ISSOCK(status.st_mode)) throw sys::Error("bind", path, EEXIST);  // connect says the same
  sys::check(::unlink(path.c_str()), "unlink", path);
}

}  // namespace

sys::Fd bind_tcp(const std::string& address, uint16_t port) {
  std::string object = fmt::format("{}:{}", address, port);
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  std::string service = std::to_string(port);
  if (::getaddrinfo(address.c_str(), service.c_str(), &hints, &found) != 0) {
    throw sys::Error("listen", object, EINVAL);
  }
  std::unique_ptr<addrinfo, void (*)(addrinfo*)> info(found, ::freeaddrinfo);
  sys::Fd fd(sys::check(::socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
                        "socket", object));
  set_option(fd.get(), SOL_SOCKET, SO_REUSEADDR, object);
  // Accepted sockets inherit it: no further call for each.
  set_option(fd.get(), IPPROTO_TCP, TCP_NODELAY, object);
  sys::check(::bind(fd.get(), info->ai_addr, info->ai_addrlen), "bind", object);
  sys::check(::listen(fd.get(), kBacklog), "listen", object);
  return fd;
}

sys::Fd bind_unix(const std::string& path, mode_t mode, std::optional<gid_t> group) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    throw sys::Error("bind", path, ENAMETOOLONG);
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  remove_stale(path, address);
  sys::Fd fd(
      sys::check(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket", path));
  // The file is born with the mode of the socket (less the umask), so it is never wider than asked,
  // not even for a moment.
  sys::check(::fchmod(fd.get(), mode & 0700), "fchmod", path);
  sys::check(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), "bind",
             path);
  if (group) sys::check(::chown(path.c_str(), static_cast<uid_t>(-1), *group), "chown", path);
  sys::check(::chmod(path.c_str(), mode), "chmod", path);
  sys::check(::listen(fd.get(), kBacklog), "listen", path);
  return fd;
}

uint16_t bound_port(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  sys::check(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), "getsockname");
  if (address.ss_family == AF_INET) return ntohs(reinterpret_cast<sockaddr_in&>(address).sin_port);
  if (address.ss_family == AF_INET6) {
    return ntohs(reinterpret_cast<sockaddr_in6&>(address).sin6_port);
  }
  return 0;
}

Listener::Listener(Shared& shared, sys::Fd fd, std::string path)
    : shared_(shared),
      fd_(std::move(fd)),
      path_(std::move(path)),
      spare_(sys::check(::open("/dev/null", O_RDONLY | O_CLOEXEC), "open", "/dev/null")),
      poll_(shared.loop, fd_.get()),
      resume_(shared.loop, [this] { poll_.pause_reading(false); }) {
  if (!path_.empty()) {
    struct stat status {};
    sys::check(::stat(path_.c_str(), &status), "stat", path_);
    device_ = status.st_dev;
    inode_ = status.st_ino;
  }
  poll_.on_readable([this] { accept_some(); });
}

Listener::~Listener() {
  struct stat status {};
  // Somebody else's socket may have the name by now.
  if (!path_.empty() && ::stat(path_.c_str(), &status) == 0 && status.st_dev == device_ &&
      status.st_ino == inode_) {
    (void)::unlink(path_.c_str());  // left behind, it is found stale at the next start
  }
}

void Listener::accept_some() {
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    sys::Fd client(::accept4(fd_.get(), reinterpret_cast<sockaddr*>(&address), &size,
                             SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (client) {
      try {
        Peer peer = peer_of(client.get(), address);
        shared_.open(std::move(client), std::move(peer));
      } catch (const std::exception&) {  // no memory for it, or gone already: closed, counted
        ++shared_.counters.accept_failures;
      }
      continue;
    }
    if (errno == EAGAIN) return;
    if (errno == ECONNABORTED || errno == EINTR || errno == EPROTO) continue;
    bool no_descriptor = errno == EMFILE || errno == ENFILE;
    TurnedAway turned_away = no_descriptor ? turn_away() : TurnedAway::kImpossible;
    // Without a descriptor accept fails whether somebody waits or not.
    if (turned_away == TurnedAway::kNobody) return;
    ++shared_.counters.accept_failures;
    if (turned_away == TurnedAway::kImpossible) return pause();
  }
}

// Uses the spare descriptor to take the first client off the queue and tell it.
Listener::TurnedAway Listener::turn_away() {
  spare_.reset();
  bool nobody = false;
  {
    sys::Fd client(::accept4(fd_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (client) {
      (void)::send(client.get(), shared_.overloaded.data(), shared_.overloaded.size(),
                   MSG_NOSIGNAL);
      (void)::shutdown(client.get(), SHUT_WR);  // as far as it gets
    } else {
      nobody = errno == EAGAIN;
    }
  }
  spare_ = sys::Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (nobody) return TurnedAway::kNobody;
  return spare_ ? TurnedAway::kOne : TurnedAway::kImpossible;
}

void Listener::pause() {
  if (!spare_) spare_ = sys::Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  poll_.pause_reading(true);
  resume_.arm(kPause);
}

}  // namespace hearth::http
