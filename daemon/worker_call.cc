// SPDX-License-Identifier: Apache-2.0
// The call itself: the part of Worker that every request passes.
#include <sys/wait.h>
#include <unistd.h>

#include <utility>

#include "daemon/worker.h"
#include "sandbox/sys/fail_point.h"

namespace hearth::daemon {
namespace control = sandbox::control;
namespace frame = sandbox::frame;
using loop::Task;

Task<CallOutput> Worker::call(CallInput input) {
  calling_ = true;
  abandoned_ = false;
  end_.reset();
  deadline_ = input.deadline;
  arm(deadline_);
  output_bytes_max_ = input.output_bytes_max;
  budget_ = input.budget;
  CallOutput output;
  if (template_.stdio == control::Stdio::kRaw) {
    output = co_await call_raw(input);
  } else {
    output = co_await call_framed(input);
  }
  calling_ = false;
  timer_.disarm();
  co_return output;
}

CallOutput Worker::stopped(End end) {
  CallOutput output;
  output.end = end;
  return output;
}

CallOutput Worker::out_of_time() {
  return stopped(abandoned_ ? End::kAbandoned : End::kTimeout);
}

void Worker::abandon(Clock::time_point limit) {
  abandoned_ = true;
  if (!calling_) return;
  if (server_ && server_->channel) server_->channel->keep_unsent();
  if (server_ && server_->input) server_->input->keep_unsent();
  deadline_ = std::min(deadline_, limit);
  arm(deadline_);
}

// How the call has ended, if it has.
std::optional<CallOutput> Worker::framed_end(Process& process, uint64_t number, bool ending) {
  if (auto answer = process.channel->take()) {
    bool in_turn =
        answer->header.call == number && process.channel->sent() &&
        (answer->header.type == frame::Type::kReply || answer->header.type == frame::Type::kError);
    if (!in_turn) return stopped(End::kBroken);
    CallOutput output;
    output.end = answer->header.type == frame::Type::kReply ? End::kReplied : End::kError;
    output.meta = std::move(answer->meta);
    output.body = std::move(answer->body);
    return output;
  }
  if (end_) return stopped(*end_);
  if (process.channel->state() == Channel::State::kTooLarge) return stopped(End::kOutputExceeded);
  if (process.channel->state() == Channel::State::kBroken) return stopped(End::kBroken);
  if (dead_ || control_lost_) return stopped(End::kSandboxGone);
  if (process.exited) {
    CallOutput output = stopped(End::kExited);
    output.wait_status = process.wait_status;
    return output;
  }
  if (expired_) return ending ? stopped(End::kBroken) : out_of_time();
  return std::nullopt;
}

Task<CallOutput> Worker::call_framed(CallInput& input) {
  if (!server_) co_return stopped(End::kSandboxGone);
  Process& process = *server_;
  process.channel->set_body_bytes_max(input.output_bytes_max);
  uint8_t flags = input.last ? frame::kLastCall : 0;
  process.channel->send({frame::Type::kCall, flags, static_cast<uint32_t>(input.meta.size()),
                         static_cast<uint32_t>(input.body.size()), input.number},
                        input.meta, input.body);
  sys::fail_point("call.sent");
  bool ending = false;
  for (;;) {
    if (auto output = framed_end(process, input.number, ending)) co_return std::move(*output);
    if (process.channel->state() == Channel::State::kEnded && !ending) {
      // The channel closed: hearth-init tells the exit status in a moment, unless the process lives
      // on without one.
      ending = true;
      arm(std::min(deadline_, Clock::now() + std::chrono::milliseconds(200)));
    }
    co_await changed_.wait();
    changed_.reset();
  }
}

Task<CallOutput> Worker::call_raw(CallInput& input) {
  if (input.start_on_arrival) {
    control::Start start = template_;
    start.env.insert(start.env.end(), input.raw_env.begin(), input.raw_env.end());
    auto failure = co_await request(std::move(start), "start", deadline_);
    if (failure && expired_) co_return out_of_time();
    if (failure) co_return stopped(End::kSandboxGone);
    arm(deadline_);
  }
  if (!server_ || !server_->input) co_return stopped(End::kSandboxGone);
  Process& process = *server_;
  process.input->send_and_close(input.body);
  sys::fail_point("call.sent");
  while (!process.exited) {
    if (process.answer_too_large) co_return stopped(End::kOutputExceeded);
    if (end_) co_return stopped(*end_);
    if (dead_ || control_lost_) co_return stopped(End::kSandboxGone);
    if (expired_) co_return out_of_time();
    co_await changed_.wait();
    changed_.reset();
  }
  // What it wrote before its exit is in the pipes; a grandchild that holds them open is not waited
  // for.
  process.output->drain(output_bytes_max_ + 1);
  drain_logs();
  if (process.answer_too_large) co_return stopped(End::kOutputExceeded);
  CallOutput output = stopped(process.wait_status == 0 ? End::kReplied : End::kExited);
  output.wait_status = process.wait_status;
  output.body = std::move(process.answer);
  output.error_tail = std::move(process.error_tail);
  co_return output;
}

// Counters ---------------------------------------------------------------------------------------

CpuCounters Worker::cpu_now() {
  cpu_read_ = read_cpu(descriptors_);
  cpu_read_at_ = Clock::now();
  return cpu_read_;
}

CpuCounters Worker::cpu_at_dispatch(Clock::time_point now) {
  constexpr std::chrono::milliseconds kFresh{1};
  return now - cpu_read_at_ < kFresh ? cpu_read_ : cpu_now();
}

void Worker::begin_counters(const CpuCounters& base) {
  cpu_base_us_ = base.user_us + base.system_us;
  memory_seen_ = 0;
  // What happened before is not this call's.
  (void)ran_out_of_memory();
  (void)ran_out_of_processes();
  if (descriptors_.memory_peak) {
    // Linux 6.12: a write starts a new peak for this descriptor. Older kernels refuse it.
    peak_resets_ = ::pwrite(descriptors_.memory_peak.get(), "0", 1, 0) == 1;
  } else if (memory_idle_ == 0) {
    memory_idle_ = sum_anonymous_memory(descriptors_.cgroup_procs.get());
  }
}

void Worker::saw_cpu(const CpuCounters& cpu) {
  if (slot_ == nullptr) return;
  slot_->seen_cpu_user_us.store(cpu.user_us, std::memory_order_relaxed);
  slot_->seen_cpu_system_us.store(cpu.system_us, std::memory_order_relaxed);
}

std::pair<uint64_t, ledger::MemorySource> Worker::memory_peak() const {
  if (descriptors_.memory_peak) {
    uint64_t bytes = read_value(descriptors_.memory_peak.get());
    return {bytes,
            peak_resets_ ? ledger::MemorySource::kPeakReset : ledger::MemorySource::kPeakLifetime};
  }
  return {std::max(memory_idle_, memory_seen_), ledger::MemorySource::kPolled};
}

bool Worker::ran_out_of_memory() {
  uint64_t kills = read_key(descriptors_.memory_events.get(), "oom_kill");
  return std::exchange(oom_kills_, kills) < kills;
}

bool Worker::ran_out_of_processes() {
  uint64_t refusals = read_key(descriptors_.pids_events.get(), "max");
  return std::exchange(process_refusals_, refusals) < refusals;
}

}  // namespace hearth::daemon
