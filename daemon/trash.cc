// SPDX-License-Identifier: Apache-2.0
#include "daemon/trash.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "daemon/loop/offload.h"
#include "sandbox/sys/error.h"
#include "sandbox/sys/fail_point.h"
#include "sandbox/sys/log.h"

namespace hearth::daemon {
namespace fs = std::filesystem;
namespace {

void failed(const std::string& path, const std::string& why) {
  sys::log::warning("not removed", {{"path", path}, {"error", why}});
}

// Of a task in the background.
void task_failed(std::exception_ptr error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    failed("trash", e.what());
  }
}

}  // namespace

Trash::Trash(loop::Loop& loop, std::string folder)
    : loop_(loop), folder_(std::move(folder)), removals_(loop, task_failed) {}

void Trash::empty() {
  for (const fs::directory_entry& entry : fs::directory_iterator(folder_)) fs::remove_all(entry);
}

void Trash::take(const std::string& path) {
  std::string target = fmt::format("{}/{}", folder_, next_++);
  if (::rename(path.c_str(), target.c_str()) == 0) return removals_.add(remove(std::move(target)));
  if (errno != ENOENT) failed(path, std::strerror(errno));
}

loop::Task<void> Trash::remove(std::string path) {
  auto work = [path] {
    sys::fail_point("trash.removing");
    std::error_code error;
    fs::remove_all(path, error);
    return error;
  };
  std::error_code error = co_await loop::offload(loop_, std::move(work));
  if (error) failed(path, error.message());
}

}  // namespace hearth::daemon
