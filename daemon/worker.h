// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/channel.h"
#include "daemon/counters.h"
#include "daemon/ledger/inflight_table.h"
#include "daemon/loop/event.h"
#include "daemon/loop/loop.h"
#include "daemon/loop/poll.h"
#include "daemon/loop/sleep.h"
#include "daemon/loop/task.h"
#include "daemon/loop/timer.h"
#include "daemon/pipe.h"
#include "sandbox/control.h"
#include "sandbox/spec.h"

namespace hearth::daemon {

using loop::Clock;

enum class LogStream : uint8_t { kOut, kErr };

// Why a start, load or recycle did not end in a process that can take a call.
struct StartFailure {
  sandbox::Failure failure;  // the host or the sandbox failed: step, object, errno …
  bool code_failed =
      false;  // … or the function's own code did, and the next start will fail the same way:
  std::string type, message, stack;
  uint64_t limit_ms = 0;  // loading took longer than it may
};

// "the process exited with status 3", "the process was killed by SIGSEGV"
std::string how_it_ended(int wait_status);

// How a call left its process.
enum class End : uint8_t {
  kReplied,  // reply frame, or exit status 0 of a raw program
  kError,    // error frame (function_error or bad_reply as its meta says)
  kExited,   // the process ended without an answer
  kBroken,   // forged, malformed or out-of-turn bytes on the channel
  kTimeout,
  kOutputExceeded,
  kLogExceeded,
  kCpuExceeded,
  kMemoryExceeded,
  kProcessesExceeded,
  kSandboxGone,  // PID 1 died: out of memory (strict mode) or killed from outside
  kAbandoned,    // nobody waits for the answer, and the time it still had is over
};

// What a call may use; 0: no budget. The watch ends a call that exceeds one.
struct Budget {
  uint64_t cpu_us = 0;
  uint64_t memory_bytes = 0;
  uint32_t processes = 0;  // of user code: PID 1 is not counted
};

struct CallInput {
  uint64_t number = 0;
  std::string_view meta, body;       // borrowed until abandon() or the end of the call's task
  std::vector<std::string> raw_env;  // raw programs started on arrival: their environment
  bool start_on_arrival = false;
  bool last = false;  // the process serves no further call
  Clock::time_point deadline;
  uint64_t output_bytes_max = 0;
  Budget budget;
};

struct CallOutput {
  End end = End::kSandboxGone;
  std::string meta, body;
  int wait_status = 0;     // kExited, and raw programs
  std::string error_tail;  // raw programs: the last bytes of stderr
};

// One sandbox as hearthd sees it: the control socket to hearth-init, the process that takes the
// next call, the kernel's counters. It starts, loads, calls, recycles and kills; it decides
// nothing. One operation at a time. Destroying it kills the tree (cgroup.kill) without waiting;
// stop() waits.
class Worker {
 public:
  using LogSink = std::function<void(LogStream, std::string_view)>;

  // `lost` is called when the sandbox or its waiting process dies outside a call.
  Worker(loop::Loop& loop, uint64_t id, sandbox::Descriptors descriptors,
         std::function<void()> lost);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  uint64_t id() const { return id_; }
  const sandbox::Descriptors& descriptors() const { return descriptors_; }

  // Waits for hearth-init to report that set-up is complete.
  loop::Task<std::optional<StartFailure>> ready(std::chrono::milliseconds limit);

  // Starts the runtime's program; framed ones have said hello when this returns.
  loop::Task<std::optional<StartFailure>> start(sandbox::control::Start start,
                                                std::chrono::milliseconds limit);

  // For a program that starts when its call is there: only remembered.
  void prepare(sandbox::control::Start start) { template_ = std::move(start); }

  // Framed: sends load, waits for ready, and with a zygote that can fork parks the first child. The
  // meta is kept for processes started later. `notes` get the runtime's remarks for the function's
  // log.
  loop::Task<std::optional<StartFailure>> load(std::string meta, std::vector<std::string>* notes,
                                               std::chrono::milliseconds limit);

  // One call. At any end but kReplied and kError the caller must kill this worker. Destroying the
  // task half-way leaves the worker fit for nothing but kill().
  loop::Task<CallOutput> call(CallInput input);

  // Scrubs the sandbox and makes the next process ready.
  loop::Task<std::optional<StartFailure>> recycle(std::chrono::milliseconds limit);

  // What was in /tmp; nullopt when hearth-init does not answer within the limit.
  loop::Task<std::optional<sandbox::control::Probed>> probe(std::chrono::milliseconds limit);

  // The process that takes the next call has ended.
  bool server_ended() const { return server_ && server_->exited; }

  // The process that takes the next call spoke out of turn.
  bool has_unasked() const {
    return server_ && server_->channel && server_->channel->has_unasked();
  }

  // What else a kill needs; called once, with it.
  void on_kill(std::function<void()> also) { also_on_kill_ = std::move(also); }
  void kill();              // one write, at once, the whole tree
  loop::Task<void> gone();  // returns when no process of the sandbox is left (after kill)
  bool dead() const { return dead_; }

  // Ends the running call with this reason (budget watchers).
  void end_call(End reason);
  // Nobody waits for the answer of the call, which has until `limit` to end by itself if it has
  // not. Its input may go: what is not sent of it is copied.
  void abandon(Clock::time_point limit);
  bool abandoned() const { return abandoned_; }  // the running call, or the one before
  bool calling() const { return calling_; }
  const Budget& budget() const { return budget_; }  // of the running call
  uint64_t cpu_base_us() const { return cpu_base_us_; }

  // The sandbox' CPU counters, read now.
  CpuCounters cpu_now();
  // The same for a call that begins at `now`. Right behind another call of the same process, what
  // was read at that one's end is as good and saves a system call.
  CpuCounters cpu_at_dispatch(Clock::time_point now);

  // A call begins with the CPU counters at `base` and a new peak of memory. Where the kernel has no
  // counter of that, what the watch saw is the peak.
  void begin_counters(const CpuCounters& base);
  // Where a call's CPU time is kept as it is seen, for the case that this process is killed.
  void set_slot(ledger::Slot* slot) { slot_ = slot; }
  void saw_cpu(const CpuCounters& cpu);
  void saw_memory(uint64_t bytes) { memory_seen_ = std::max(memory_seen_, bytes); }
  std::pair<uint64_t, ledger::MemorySource> memory_peak() const;

  // Events of the kernel's limits since the last question.
  bool ran_out_of_memory();
  bool ran_out_of_processes();

  // Where stdout and stderr go from now on, beginning with what came while there was no sink (a
  // program may print before its call arrives; 64 KiB of that are kept). `bytes_max` (0: none) ends
  // the call with kLogExceeded.
  void set_log(LogSink sink, uint64_t bytes_max);
  void drain_logs();  // what was written until now
  void watch_logs();  // from now on as it is written: for calls that last
  uint64_t log_bytes() const { return log_bytes_; }

 private:
  // One program that hearth-init started, with everything that dies with it.
  struct Process {
    uint32_t number = 0;
    bool zygote = false;
    bool exited = false;
    int wait_status = 0;
    std::unique_ptr<Channel> channel;    // framed
    std::unique_ptr<PipeWriter> input;   // raw
    std::unique_ptr<PipeReader> output;  // raw
    std::unique_ptr<PipeReader> log_out, log_err;
    std::string answer, error_tail;  // raw
    bool answer_too_large = false;
  };
  using Limit = Clock::time_point;

  void on_control();
  void on_death();
  void on_started(sandbox::control::Started started);
  void on_exited(const sandbox::control::Exited& exited);
  void log(LogStream stream, std::string_view bytes);
  void change() { changed_.set(); }
  loop::Task<void> next_change();  // or the deadline armed in timer_
  void arm(Limit limit);
  bool expired() const { return expired_; }
  std::optional<StartFailure> trouble(const char* step) const;

  loop::Task<std::optional<StartFailure>> request(sandbox::control::Request request,
                                                  const char* step, Limit limit);
  loop::Task<std::optional<StartFailure>> await_hello(Limit limit);
  loop::Task<std::optional<StartFailure>> load_server(std::vector<std::string>* notes, Limit limit);
  StartFailure load_error(const Channel::Frame& frame) const;
  loop::Task<StartFailure> ended_early(Process& process, const char* step, std::string_view when);
  loop::Task<CallOutput> call_framed(CallInput& input);
  loop::Task<CallOutput> call_raw(CallInput& input);
  std::optional<CallOutput> framed_end(Process& process, uint64_t number, bool ending);
  CallOutput stopped(End end);
  CallOutput out_of_time();

  loop::Loop& loop_;
  uint64_t id_;
  sandbox::Descriptors descriptors_;
  std::function<void()> lost_, also_on_kill_;
  loop::Event changed_;
  loop::Timer timer_;
  bool expired_ = false;
  std::chrono::milliseconds load_limit_{0};  // of the start or load under way

  bool ready_ = false, dead_ = false, control_lost_ = false, killed_ = false, calling_ = false;
  std::optional<sandbox::Failure> failed_;
  std::optional<sandbox::control::Probed> probed_;
  std::optional<End> end_;
  Limit deadline_;  // of the running call
  bool abandoned_ = false;

  sandbox::control::Start template_;
  std::string load_meta_;
  bool zygote_forks_ = false;  // the zygote is loaded and children can be parked
  uint64_t output_bytes_max_ = 6u << 20;
  std::unique_ptr<Process> zygote_;
  std::unique_ptr<Process> server_;  // takes the next call
  uint32_t started_count_ = 0;

  Budget budget_;
  uint64_t cpu_base_us_ = 0;
  CpuCounters cpu_read_;
  Clock::time_point cpu_read_at_{};
  ledger::Slot* slot_ = nullptr;
  uint64_t memory_idle_ = 0,
           memory_seen_ = 0;  // best effort: parked, and highest sample of the call
  bool peak_resets_ = false;  // memory.peak can be reset through our descriptor
  uint64_t oom_kills_ = 0, process_refusals_ = 0;

  LogSink sink_;
  std::string unclaimed_[2];  // by LogStream
  uint64_t log_bytes_ = 0, log_bytes_max_ = 0;

  loop::Poll control_poll_, pidfd_poll_;  // last: their callbacks stop first
};

}  // namespace hearth::daemon
