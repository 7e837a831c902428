// SPDX-License-Identifier: Apache-2.0
#include "daemon/listeners.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <stdexcept>

#include "sandbox/sys/error.h"

namespace hearth::daemon {
namespace {

constexpr int kBacklog = 4096;  // the kernel lowers it to net.core.somaxconn

sys::Fd listen_unix(const std::string& path, const Identity& identity) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    throw std::runtime_error(fmt::format(
        "the socket path {} is longer than the kernel's {} bytes; choose a shorter runtime_dir",
        path, sizeof address.sun_path - 1));
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  sys::Fd socket(
      sys::check(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket", path));
  // The state folder's lock is ours, so a socket that is left here has no owner, unless another
  // state folder shares this runtime folder.
  sys::Fd probe(sys::check(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket", path));
  if (::connect(probe.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) {
    throw std::runtime_error(
        fmt::format("another daemon serves {}; give this one its own --runtime-dir", path));
  }
  (void)::unlink(path.c_str());  // absent is fine
  sys::check(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), "bind",
             path);
  sys::check(::chown(path.c_str(), identity.uid, identity.admin_gid), "chown", path);
  sys::check(::chmod(path.c_str(), 0660), "chmod", path);
  sys::check(::listen(socket.get(), kBacklog), "listen", path);
  return socket;
}

sys::Fd listen_tcp(const std::string& listen) {
  size_t colon = listen.rfind(':');
  if (colon == std::string::npos)
    throw std::runtime_error(fmt::format("listen '{}' is no ADDR:PORT", listen));
  std::string host = listen.substr(0, colon), port = listen.substr(colon + 1);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  addrinfo hints = {};
  hints.ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  int code = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &found);
  if (code != 0)
    throw std::runtime_error(fmt::format("listen '{}': {}", listen, ::gai_strerror(code)));
  std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, ::freeaddrinfo);
  sys::Fd socket(sys::check(
      ::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket", listen));
  int on = 1;
  sys::check(::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), "setsockopt",
             listen);
  sys::check(::bind(socket.get(), found->ai_addr, found->ai_addrlen), "bind", listen);
  sys::check(::listen(socket.get(), kBacklog), "listen", listen);
  return socket;
}

}  // namespace

Listeners open_listeners(const Config& config, const Identity& identity) {
  Listeners listeners;
  int passed = ::sd_listen_fds(1);
  bool has_unix = false, has_tcp = false;
  for (int i = 0; i < passed; ++i) {
    int fd = SD_LISTEN_FDS_START + i;
    bool is_unix = ::sd_is_socket(fd, AF_UNIX, SOCK_STREAM, 1) > 0;
    (is_unix ? has_unix : has_tcp) = true;
    int flags = sys::check(::fcntl(fd, F_GETFL), "fcntl", "inherited socket");
    sys::check(::fcntl(fd, F_SETFL, flags | O_NONBLOCK), "fcntl", "inherited socket");
    sys::check(::fcntl(fd, F_SETFD, FD_CLOEXEC), "fcntl", "inherited socket");
    listeners.sockets.emplace_back(fd);
    listeners.names.push_back(is_unix ? "unix socket of systemd" : "tcp socket of systemd");
  }
  if (!has_unix) {
    std::string path = config.runtime_dir + "/hearth.sock";
    listeners.sockets.push_back(listen_unix(path, identity));
    listeners.names.push_back(path);
  }
  if (!has_tcp && !config.listen.empty()) {
    listeners.sockets.push_back(listen_tcp(config.listen));
    // Port 0 asks for a free one; the log tells which.
    sockaddr_storage bound = {};
    socklen_t size = sizeof bound;
    sys::check(
        ::getsockname(listeners.sockets.back().get(), reinterpret_cast<sockaddr*>(&bound), &size),
        "getsockname");
    char host[NI_MAXHOST], port[NI_MAXSERV];
    ::getnameinfo(reinterpret_cast<sockaddr*>(&bound), size, host, sizeof host, port, sizeof port,
                  NI_NUMERICHOST | NI_NUMERICSERV);
    listeners.names.push_back(fmt::format("{}:{}", host, port));
  }
  return listeners;
}

}  // namespace hearth::daemon
