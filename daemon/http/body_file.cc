// SPDX-License-Identifier: Apache-2.0
#include "daemon/http/body_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <utility>

#include "sandbox/sys/error.h"

namespace hearth::http {

BodyFile::BodyFile(const std::string& directory) : path_(directory + "/upload-XXXXXX") {
  int fd = ::mkostemp(path_.data(), O_CLOEXEC);
  if (fd < 0) throw sys::Error("mkostemp", std::exchange(path_, {}), errno);
  fd_ = sys::Fd(fd);
}

BodyFile::BodyFile(BodyFile&& other) noexcept
    : path_(std::exchange(other.path_, {})), fd_(std::move(other.fd_)), bytes_(other.bytes_) {}

BodyFile& BodyFile::operator=(BodyFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(fd_, other.fd_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

BodyFile::~BodyFile() {
  if (!path_.empty()) (void)::unlink(path_.c_str());  // whoever renamed it keeps it
}

void BodyFile::write(std::string_view data) {
  while (!data.empty()) {
    ssize_t written = ::write(fd_.get(), data.data(), data.size());
    if (written < 0 && errno == EINTR) continue;
    sys::check(written, "write", path_);
    data.remove_prefix(static_cast<size_t>(written));
    bytes_ += static_cast<uint64_t>(written);
  }
}

}  // namespace hearth::http
