// SPDX-License-Identifier: Apache-2.0
// What the processes of a sandbox print, on its way to the function's log.
#include <utility>

#include "daemon/worker.h"

namespace hearth::daemon {

void Worker::set_log(LogSink sink, uint64_t bytes_max) {
  sink_ = std::move(sink);
  log_bytes_ = 0;
  log_bytes_max_ = bytes_max;
  if (!sink_) return;
  for (LogStream stream : {LogStream::kOut, LogStream::kErr}) {
    std::string early = std::exchange(unclaimed_[int(stream)], {});
    if (!early.empty()) log(stream, early);
  }
}

void Worker::log(LogStream stream, std::string_view bytes) {
  if (!sink_) {
    constexpr size_t kUnclaimedBytesMax = 64 * 1024;
    std::string& early = unclaimed_[int(stream)];
    early += bytes.substr(0, kUnclaimedBytesMax - early.size());
    return;
  }
  log_bytes_ += bytes.size();
  sink_(stream, bytes);
  if (log_bytes_max_ != 0 && log_bytes_ > log_bytes_max_) end_call(End::kLogExceeded);
}

void Worker::drain_logs() {
  for (Process* process : {server_.get(), zygote_.get()}) {
    if (process == nullptr) continue;
    if (process->log_out) process->log_out->drain();
    process->log_err->drain();
  }
}

void Worker::watch_logs() {
  for (Process* process : {server_.get(), zygote_.get()}) {
    if (process == nullptr) continue;
    if (process->log_out) process->log_out->watch();
    process->log_err->watch();
  }
}

}  // namespace hearth::daemon
