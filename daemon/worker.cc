// SPDX-License-Identifier: Apache-2.0
#include "daemon/worker.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>

#include <cstring>
#include <utility>

#include "sandbox/sys/error.h"

namespace hearth::daemon {
namespace control = sandbox::control;
namespace frame = sandbox::frame;
using loop::Task;

std::string how_it_ended(int wait_status) {
  if (!WIFSIGNALED(wait_status))
    return fmt::format("the process exited with status {}", WEXITSTATUS(wait_status));
  const char* name = ::sigabbrev_np(WTERMSIG(wait_status));
  return fmt::format("the process was killed by SIG{}", name != nullptr ? name : "?");
}

Worker::Worker(loop::Loop& loop, uint64_t id, sandbox::Descriptors descriptors,
               std::function<void()> lost)
    : loop_(loop),
      id_(id),
      descriptors_(std::move(descriptors)),
      lost_(std::move(lost)),
      changed_(loop),
      timer_(loop,
             [this] {
               expired_ = true;
               change();
             }),
      control_poll_(loop, descriptors_.control.get()),
      pidfd_poll_(loop, descriptors_.pidfd.get()) {
  control_poll_.on_readable([this] { on_control(); });
  pidfd_poll_.on_readable([this] { on_death(); });
}

void Worker::on_death() {
  dead_ = true;
  pidfd_poll_.on_readable({});
  change();
  if (!calling_) lost_();
}

Worker::~Worker() {
  if (!dead_) kill();
}

void Worker::kill() {
  if (server_ && server_->channel) server_->channel->stop_sending();
  if (server_ && server_->input) server_->input->stop_sending();
  if (killed_) return;
  killed_ = true;
  // Fails only when the cgroup is gone already, and then so are its processes.
  (void)!::write(descriptors_.cgroup_kill.get(), "1", 1);
  if (also_on_kill_) also_on_kill_();
}

Task<void> Worker::gone() {
  while (!dead_) {
    changed_.reset();
    co_await changed_.wait();
  }
  // The pidfd speaks for PID 1, whose death takes its whole pid namespace along; the cgroup's own
  // word is read once to be sure (its notification can be 10 ms late, the file is not).
  while (read_key(descriptors_.cgroup_events.get(), "populated") != 0) {
    co_await loop::Sleep(loop_, std::chrono::milliseconds(1));
  }
}

void Worker::on_control() {
  try {
    while (std::optional<control::Event> event =
               control::receive_event(descriptors_.control.get())) {
      if (std::holds_alternative<control::Ready>(*event)) ready_ = true;
      if (auto* failed = std::get_if<control::Failed>(&*event))
        failed_ = std::move(failed->failure);
      if (auto* started = std::get_if<control::Started>(&*event)) on_started(std::move(*started));
      if (auto* exited = std::get_if<control::Exited>(&*event)) on_exited(*exited);
      if (auto* probed = std::get_if<control::Probed>(&*event)) probed_ = *probed;
    }
  } catch (const sys::Error&) {
    // End of file, or bytes that hearth-init never sends: nothing more can be asked of this
    // sandbox.
    control_lost_ = true;
    control_poll_.on_readable({});
    kill();
  }
  change();
}

void Worker::on_started(control::Started started) {
  for (const sys::Fd* fd : {&started.in, &started.out, &started.log_out, &started.log_err}) {
    if (*fd) sys::check(::fcntl(fd->get(), F_SETFL, O_NONBLOCK), "fcntl", "O_NONBLOCK");
  }
  auto process = std::make_unique<Process>();
  Process* p = process.get();
  p->number = started.process;
  p->zygote = started.zygote;
  auto changed = [this] { change(); };
  if (started.out) {
    p->input = std::make_unique<PipeWriter>(loop_, std::move(started.in));
    p->output = std::make_unique<PipeReader>(
        loop_, std::move(started.out),
        [this, p](std::string_view bytes) {
          p->answer_too_large = p->answer.size() + bytes.size() > output_bytes_max_;
          if (!p->answer_too_large) p->answer += bytes;
          return !p->answer_too_large;
        },
        changed);
  } else {
    p->channel = std::make_unique<Channel>(loop_, std::move(started.in), [this, p] {
      change();
      if (!calling_ && p->channel->has_unasked()) lost_();
    });
  }
  if (started.log_out) {
    p->log_out = std::make_unique<PipeReader>(
        loop_, std::move(started.log_out),
        [this](std::string_view bytes) {
          log(LogStream::kOut, bytes);
          return true;
        },
        changed);
  }
  p->log_err = std::make_unique<PipeReader>(
      loop_, std::move(started.log_err),
      [this, p](std::string_view bytes) {
        if (p->output) {
          constexpr size_t kTailBytes = 4096;
          p->error_tail += bytes;
          if (p->error_tail.size() > kTailBytes)
            p->error_tail.erase(0, p->error_tail.size() - kTailBytes);
        }
        log(LogStream::kErr, bytes);
        return true;
      },
      changed);
  ++started_count_;
  // A child that waits for its call prints nothing, and most calls end before the first look of the
  // watch: putting its pipes into the loop and taking them out again would be in vain.
  bool waits = zygote_ && !p->zygote;
  if (p->output) p->output->watch();
  (p->zygote ? zygote_ : server_) = std::move(process);
  if (!waits) watch_logs();
}

void Worker::on_exited(const control::Exited& exited) {
  for (Process* process : {server_.get(), zygote_.get()}) {
    if (process == nullptr || process->number != exited.process) continue;
    process->exited = true;
    process->wait_status = exited.wait_status;
    if (!calling_) lost_();
  }
}

void Worker::end_call(End reason) {
  if (!calling_ || end_) return;
  end_ = reason;
  change();
}

Task<void> Worker::next_change() {
  co_await changed_.wait();
  changed_.reset();
}

void Worker::arm(Limit limit) {
  expired_ = false;
  timer_.arm_at(limit);
}

// What makes waiting for `step` pointless, if anything.
std::optional<StartFailure> Worker::trouble(const char* step) const {
  if (failed_) return StartFailure{*failed_, false, {}, {}, {}};
  if (dead_ || control_lost_) {
    bool oom = read_key(descriptors_.memory_events.get(), "oom_kill") != 0;
    if (!oom) return StartFailure{{step, "sandbox", ECONNRESET}, false, {}, {}, {}};
    return StartFailure{{step, "sandbox", ENOMEM},
                        true,
                        "OutOfMemory",
                        "the sandbox ran out of memory while the function's code was loading",
                        {}};
  }
  if (expired_) {
    // A sandbox that is not even set up is the host's failure.
    if (!ready_) return StartFailure{{step, "sandbox", ETIMEDOUT}, false, {}, {}, {}};
    auto limit = static_cast<uint64_t>(load_limit_.count());
    return StartFailure{{step, "sandbox", ETIMEDOUT},
                        true,
                        "LoadTimeout",
                        fmt::format("the function's code did not load within {} ms", limit),
                        {},
                        limit};
  }
  return std::nullopt;
}

Task<std::optional<StartFailure>> Worker::ready(std::chrono::milliseconds limit) {
  arm(Clock::now() + limit);
  while (!ready_) {
    if (auto failure = trouble("set up")) co_return failure;
    co_await next_change();
  }
  timer_.disarm();
  co_return std::nullopt;
}

// Sends a request that hearth-init answers with `started`; returns when the new process is known.
Task<std::optional<StartFailure>> Worker::request(control::Request request, const char* step,
                                                  Limit limit) {
  uint32_t before = started_count_;
  failed_.reset();
  try {
    control::send(descriptors_.control.get(), request);
  } catch (const sys::Error& error) {
    co_return StartFailure{{step, error.object(), error.code()}, false, {}, {}, {}};
  }
  arm(limit);
  while (started_count_ == before) {
    if (auto failure = trouble(step)) co_return failure;
    co_await next_change();
  }
  co_return std::nullopt;
}

Task<std::optional<StartFailure>> Worker::start(control::Start start,
                                                std::chrono::milliseconds limit) {
  template_ = start;
  load_limit_ = limit;
  Limit until = Clock::now() + limit;
  auto failure = co_await request(std::move(start), "start", until);
  if (failure || template_.stdio == control::Stdio::kRaw) co_return failure;
  co_return co_await await_hello(until);
}

Task<std::optional<StartFailure>> Worker::await_hello(Limit limit) {
  Process& process = zygote_ ? *zygote_ : *server_;
  arm(limit);
  for (;;) {
    if (auto frame = process.channel->take()) {
      timer_.disarm();
      if (frame->header.type == frame::Type::kHello) co_return std::nullopt;
      co_return StartFailure{{"hello", template_.argv[0], EPROTO},
                             true,
                             "RuntimeError",
                             "the program did not begin with a hello frame",
                             {}};
    }
    if (auto failure = trouble("hello")) co_return failure;
    if (process.channel->state() != Channel::State::kOpen) {
      co_return co_await ended_early(process, "hello", "before it was ready");
    }
    co_await next_change();
  }
}

// The channel is closed, or carries no frames. How the process ended comes from hearth-init, a
// moment later; one that lives on without a channel is not worth the rest of its time.
Task<StartFailure> Worker::ended_early(Process& process, const char* step, std::string_view when) {
  arm(Clock::now() + std::chrono::seconds(1));
  while (!process.exited && !dead_ && !control_lost_ && !expired_) co_await next_change();
  timer_.disarm();
  drain_logs();
  std::string how = process.exited ? how_it_ended(process.wait_status)
                                   : "the process closed its channel or sent what is no frame";
  co_return StartFailure{{step, template_.argv[0], ECONNRESET},
                         true,
                         "LoadError",
                         fmt::format("{} {}", how, when),
                         {}};
}

StartFailure Worker::load_error(const Channel::Frame& frame) const {
  StartFailure failure{
      {"load", template_.argv[0], EINVAL}, true, "LoadError", "the handler did not load", {}};
  auto pairs = frame::parse_meta(frame.meta);
  if (frame.header.type != frame::Type::kError || !pairs) return failure;
  for (auto [name, value] : *pairs) {
    if (name == "type") failure.type = value;
    if (name == "message") failure.message = value;
    if (name == "stack") failure.stack = value;
  }
  return failure;
}

Task<std::optional<StartFailure>> Worker::load(std::string meta, std::vector<std::string>* notes,
                                               std::chrono::milliseconds limit) {
  load_meta_ = std::move(meta);
  load_limit_ = limit;
  Limit until = Clock::now() + limit;
  auto failure = co_await load_server(notes, until);
  if (failure || !zygote_) co_return failure;
  if (zygote_forks_) {
    failure = co_await request(control::Fork{}, "fork", until);
    timer_.disarm();
    co_return failure;
  }
  // It cannot be forked (threads run in it): it serves one call itself, and the next process is a
  // new one.
  server_ = std::move(zygote_);
  template_.role = control::Role::kServer;
  co_return std::nullopt;
}

Task<std::optional<StartFailure>> Worker::load_server(std::vector<std::string>* notes,
                                                      Limit limit) {
  Process& process = zygote_ ? *zygote_ : *server_;
  process.channel->send({frame::Type::kLoad, 0, static_cast<uint32_t>(load_meta_.size()), 0, 0},
                        load_meta_, {});
  arm(limit);
  for (;;) {
    if (auto frame = process.channel->take()) {
      timer_.disarm();
      auto pairs = frame::parse_meta(frame->meta);
      if (frame->header.type != frame::Type::kReady || !pairs) co_return load_error(*frame);
      for (auto [name, value] : *pairs) {
        if (name == "fork") zygote_forks_ = process.zygote && value == "1";
        if (name == "note" && notes != nullptr) notes->emplace_back(value);
      }
      co_return std::nullopt;
    }
    if (auto failure = trouble("load")) co_return failure;
    if (process.channel->state() != Channel::State::kOpen) {
      co_return co_await ended_early(process, "load", "while the function's code was loading");
    }
    co_await next_change();
  }
}

Task<std::optional<StartFailure>> Worker::recycle(std::chrono::milliseconds limit) {
  Limit until = Clock::now() + limit;
  server_.reset();
  cpu_read_at_ = {};  // the scrub's time is no call's
  auto failure = co_await request(control::Recycle{}, "recycle", until);
  if (failure) co_return failure;
  bool parked = zygote_ || template_.stdio == control::Stdio::kRaw;
  if (!parked) {
    failure = co_await await_hello(until);
    if (!failure) failure = co_await load_server(nullptr, until);
  }
  timer_.disarm();
  if (failure) co_return failure;
  if (!zygote_) co_return std::nullopt;  // a program that waits on stdin may have forked already
  // hearth-init counted its children; the kernel's own list must agree: PID 1, the zygote, the
  // parked child.
  constexpr uint32_t kExpected = 3;
  uint32_t found = count_processes(descriptors_.cgroup_procs.get());
  if (found == kExpected) co_return std::nullopt;
  StartFailure doubt;
  doubt.failure = {"verify", fmt::format("{} processes, expected {}", found, kExpected), EBUSY};
  co_return doubt;
}

Task<std::optional<control::Probed>> Worker::probe(std::chrono::milliseconds limit) {
  if (dead_ || control_lost_) co_return std::nullopt;
  probed_.reset();
  try {
    control::send(descriptors_.control.get(), control::Probe{});
  } catch (const sys::Error&) {
    co_return std::nullopt;
  }
  arm(Clock::now() + limit);
  while (!probed_ && !expired_ && !dead_ && !control_lost_) co_await next_change();
  timer_.disarm();
  co_return probed_;
}

}  // namespace hearth::daemon
