// SPDX-License-Identifier: Apache-2.0
#include "daemon/pipe.h"

#include <unistd.h>

#include <array>
#include <cerrno>

namespace hearth::daemon {
namespace {

std::array<char, 64 * 1024> scratch;  // the loop thread's; nothing stays in it

}  // namespace

PipeReader::PipeReader(loop::Loop& loop, sys::Fd fd, Sink sink, std::function<void()> changed)
    : loop_(loop), fd_(std::move(fd)), sink_(std::move(sink)), changed_(std::move(changed)) {}

void PipeReader::watch() {
  if (poll_ || ended_) return;
  poll_.emplace(loop_, fd_.get());
  poll_->on_readable([this] { drain(scratch.size()); });
}

void PipeReader::stop() {
  ended_ = true;
  if (poll_) poll_->on_readable({});
  changed_();
}

void PipeReader::drain(size_t bytes_max) {
  size_t total = 0;
  while (!ended_ && total < bytes_max) {
    ssize_t n = ::read(fd_.get(), scratch.data(), scratch.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) return stop();
    total += static_cast<size_t>(n);
    if (!sink_(std::string_view(scratch.data(), static_cast<size_t>(n)))) return stop();
  }
}

PipeWriter::PipeWriter(loop::Loop& loop, sys::Fd fd) : loop_(loop), fd_(std::move(fd)) {}

void PipeWriter::send_and_close(std::string_view bytes) {
  unsent_ = bytes;
  write_some();
}

void PipeWriter::write_some() {
  while (!unsent_.empty()) {
    ssize_t n = ::write(fd_.get(), unsent_.data(), unsent_.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) {
      if (!poll_) poll_.emplace(loop_, fd_.get());
      return poll_->when_writable([this] { write_some(); });
    }
    if (n < 0) break;
    unsent_.remove_prefix(static_cast<size_t>(n));
  }
  unsent_ = {};
  if (poll_) poll_->release();
  fd_.reset();
}

}  // namespace hearth::daemon
