// SPDX-License-Identifier: Apache-2.0
#include "tests/support/control_talk.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>

#include "sandbox/sys/error.h"

namespace hearth::sandbox::test {
namespace {

void wait_for(int fd, milliseconds patience, const std::string& what) {
  pollfd polled{fd, POLLIN, 0};
  if (::poll(&polled, 1, int(patience.count())) <= 0) throw std::runtime_error("no " + what);
}

}  // namespace

control::Event next_event(int control, milliseconds patience) {
  wait_for(control, patience, "event");
  std::optional<control::Event> event = control::receive_event(control);
  if (!event) throw std::runtime_error("no event");
  return std::move(*event);
}

control::Started next_started(int control) {
  for (;;) {
    control::Event event = next_event(control);
    if (auto* started = std::get_if<control::Started>(&event)) return std::move(*started);
    if (auto* failed = std::get_if<control::Failed>(&event))
      throw sys::Error(failed->failure.step, failed->failure.object, failed->failure.error);
    if (!std::holds_alternative<control::Exited>(event)) throw std::runtime_error("not started");
  }
}

Failure next_failure(int control) {
  for (;;) {
    control::Event event = next_event(control);
    if (auto* failed = std::get_if<control::Failed>(&event)) return failed->failure;
    if (!std::holds_alternative<control::Exited>(event)) throw std::runtime_error("not failed");
  }
}

control::Exited next_exited(int control) {
  return std::get<control::Exited>(next_event(control));
}

std::string read_all(int fd, milliseconds patience) {
  std::string text;
  char buffer[4096];
  for (;;) {
    wait_for(fd, patience, "end of file");
    ssize_t size = ::read(fd, buffer, sizeof buffer);
    if (size < 0 && errno == EAGAIN) continue;
    if (size <= 0) return text;
    text.append(buffer, size_t(size));
  }
}

std::string tell(const control::Started& process, const std::string& command) {
  std::string line = command + "\n";
  sys::check(::send(process.in.get(), line.data(), line.size(), MSG_NOSIGNAL), "send", command);
  std::string answer;
  while (answer.empty() || answer.back() != '\n') {
    wait_for(process.in.get(), std::chrono::seconds(20), "answer to " + command);
    char buffer[4096];
    ssize_t size = ::recv(process.in.get(), buffer, sizeof buffer, 0);
    if (size < 0 && errno == EAGAIN) continue;
    if (size <= 0) return "end of file";
    answer.append(buffer, size_t(size));
  }
  answer.pop_back();
  return answer;
}

}  // namespace hearth::sandbox::test
