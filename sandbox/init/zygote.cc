// SPDX-License-Identifier: Apache-2.0
#include "sandbox/init/zygote.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "sandbox/sys/error.h"

namespace hearth::sandbox::init {

// hidepid hides the zygote from us too (we may not trace it) unless proc was mounted with gid=0.
Zygote::Zygote(pid_t pid, sys::Fd socket) : pid_(pid), socket_(std::move(socket)) {
  std::string number = std::to_string(pid);
  std::string path = "/proc/" + number + "/task/" + number + "/children";
  children_.reset(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
}

void Zygote::ask(const std::array<sys::Fd, 3>& descriptors) {
  char letter = 'F';
  iovec part{&letter, 1};
  constexpr size_t kBytes = sizeof(int) * 3;
  alignas(cmsghdr) char ancillary[CMSG_SPACE(kBytes)] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = ancillary;
  message.msg_controllen = sizeof ancillary;
  cmsghdr* rights = CMSG_FIRSTHDR(&message);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(kBytes);
  const int numbers[] = {descriptors[0].get(), descriptors[1].get(), descriptors[2].get()};
  std::memcpy(CMSG_DATA(rights), numbers, kBytes);
  sys::check(::sendmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL), "fork", "zygote");
}

std::optional<pid_t> Zygote::answer() {
  struct {
    int32_t pid;
    char more;  // a longer answer is wrong
  } got{};
  ssize_t size = ::recv(socket_.get(), &got, sizeof got, MSG_DONTWAIT);
  if (size < 0 && errno == EAGAIN) return std::nullopt;
  sys::check(size, "fork", "zygote");
  if (size == 0) throw sys::Error("fork", "zygote closed its socket", ECONNRESET);
  if (size != sizeof got.pid) throw sys::Error("fork", "zygote's answer", EPROTO);
  if (got.pid < 0 && got.pid >= -4095) throw sys::Error("fork", "zygote", -got.pid);
  if (got.pid <= 1 || got.pid == pid_ || !is_running_child(got.pid))
    throw sys::Error("fork", "zygote named no running child of init", ECHILD);
  return got.pid;
}

void Zygote::verify() const {
  if (!is_running_child(pid_)) throw sys::Error("scrub", "zygote ended or is stopped", ESRCH);
  char first;
  if (children_ && ::pread(children_.get(), &first, 1, 0) != 0)
    throw sys::Error("scrub", "zygote has processes of its own", EBUSY);
}

}  // namespace hearth::sandbox::init
