// SPDX-License-Identifier: Apache-2.0
#include "sandbox/init/init.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

#include <cerrno>
#include <csignal>

#include "sandbox/sys/error.h"

namespace hearth::sandbox::init {
namespace {

sys::Fd child_signals() {
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  return sys::Fd(sys::check(::signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK), "signalfd"));
}

void drain(const sys::Fd& signals) {
  signalfd_siginfo info;
  (void)!::read(signals.get(), &info, sizeof info);  // only says that somebody ended: see reap
}

}  // namespace

Init::Init(int control)
    : control_(control), signals_(child_signals()), tmp_("/tmp"), shm_("/dev/shm") {
  control::send(control_, control::Event(control::Ready{}));
}

void Init::serve() {
  for (;;) {
    pollfd polled[] = {{control_, POLLIN, 0}, {signals_.get(), POLLIN, 0}};
    if (::poll(polled, 2, -1) < 0 && errno != EINTR) throw sys::Error("poll", "control", errno);
    if (polled[1].revents != 0) {
      drain(signals_);
      reap();
    }
    if (polled[0].revents == 0) continue;
    // An error here is the control socket's: there is nobody left to serve.
    std::optional<control::Request> request = control::receive_request(control_);
    if (request) handle(*request);
  }
}

void Init::handle(const control::Request& request) {
  struct Visitor {
    Init& init;
    void operator()(const control::Start& start) {
      init.start(start);
      init.template_ = start;
    }
    void operator()(const control::Fork&) { init.fork(); }
    void operator()(const control::Recycle&) { init.recycle(); }
    void operator()(const control::Probe&) { init.probe(); }
  };
  try {
    std::visit(Visitor{*this}, request);
  } catch (const sys::Error& error) {
    control::Failed failed{{error.call(), error.object(), error.code()}};
    control::send(control_, control::Event(std::move(failed)));
  }
}

void Init::start(const control::Start& start) {
  if (zygote_ || process_) throw sys::Error("start", "a program is running", EBUSY);
  bool zygote = start.role == control::Role::kZygote;
  if (zygote && start.stdio == control::Stdio::kRaw)
    throw sys::Error("start", "a zygote must be framed", EINVAL);

  Connection connection = connect(start.stdio);
  sys::Fd fork_socket, their_fork_socket;
  if (zygote) {
    int ends[2];
    sys::check(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), "socketpair");
    fork_socket.reset(ends[0]);
    their_fork_socket.reset(ends[1]);
  }
  pid_t pid = launch(start, connection.theirs, their_fork_socket.get());
  uint32_t number = ++last_number_;
  if (zygote) {
    zygote_.emplace(pid, std::move(fork_socket));
    zygote_number_ = number;
  } else {
    process_ = Process{pid, number};
  }
  started(std::move(connection), number, zygote, false);
}

void Init::fork() {
  if (!zygote_) throw sys::Error("fork", "there is no zygote", EINVAL);
  if (process_) throw sys::Error("fork", "a child is parked or running", EBUSY);
  Connection connection = connect(control::Stdio::kFramed);
  zygote_->ask(connection.theirs);
  pid_t pid = wait_for_child();
  process_ = Process{pid, ++last_number_};
  started(std::move(connection), last_number_, false, true);
}

// The zygote may say nothing, or die, or hearthd may; children may end meanwhile.
pid_t Init::wait_for_child() {
  Clock::time_point deadline = Clock::now() + kForkTimeMax;
  for (;;) {
    auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) throw sys::Error("fork", "zygote", ETIMEDOUT);
    pollfd polled[] = {{zygote_->socket(), POLLIN, 0},
                       {signals_.get(), POLLIN, 0},
                       {control_, 0, 0}};  // only whether it is closed
    if (::poll(polled, 3, int(left)) < 0 && errno != EINTR) throw sys::Error("poll", "fork", errno);
    if (polled[2].revents != 0) throw sys::Error("fork", "hearthd is gone", ECONNRESET);
    if (polled[0].revents != 0)
      if (std::optional<pid_t> pid = zygote_->answer()) return *pid;
    if (polled[1].revents != 0) {
      drain(signals_);
      reap();
      if (!zygote_) throw sys::Error("fork", "zygote ended", ECHILD);
    }
  }
}

// System V objects, message queues and keys need no scrubbing: the filter lets nobody make them.
void Init::recycle() {
  if (!template_) throw sys::Error("recycle", "no program was started", EINVAL);
  kill_all_but_zygote();
  if (zygote_) zygote_->verify();
  Clock::time_point deadline = Clock::now() + kScrubTimeMax;
  tmp_.empty(deadline);
  shm_.empty(deadline);
  if (zygote_) {
    fork();
  } else {
    start(*template_);
  }
}

void Init::kill_all_but_zygote() {
  Clock::time_point deadline = Clock::now() + kKillTimeMax;
  for (;;) {
    bool others = false;
    // Without a zygote one call reaches everybody at once, however fast they fork.
    if (!zygote_) (void)::kill(-1, SIGKILL);
    for (pid_t pid : children_.list()) {
      if (zygote_ && pid == zygote_->pid()) continue;
      others = true;
      (void)::kill(pid, SIGKILL);  // it may have ended
    }
    if (!others) return;
    if (Clock::now() >= deadline) throw sys::Error("scrub", "processes do not end", ETIMEDOUT);
    // Those that ended already, else the next that does; then look again.
    std::optional<Reaped> reaped = Children::reap();
    if (!reaped) {
      Children::wait(deadline);
      reaped = Children::reap();
    }
    for (; reaped; reaped = Children::reap()) ended(*reaped);
  }
}

void Init::probe() {
  Scratch::Usage usage = tmp_.usage();
  control::send(control_, control::Event(control::Probed{usage.used_bytes, usage.bytes}));
}

void Init::reap() {
  while (std::optional<Reaped> reaped = Children::reap()) ended(*reaped);
}

// Orphans are reaped without a word: nobody was told of them.
void Init::ended(const Reaped& reaped) {
  uint32_t number = 0;
  if (process_ && process_->pid == reaped.pid) {
    number = process_->number;
    process_.reset();
  } else if (zygote_ && zygote_->pid() == reaped.pid) {
    number = zygote_number_;
    zygote_.reset();
  }
  if (number == 0) return;
  control::send(control_, control::Event(control::Exited{number, reaped.wait_status}));
}

void Init::started(Connection connection, uint32_t number, bool zygote, bool loaded) {
  control::Started& started = connection.ours;
  started.process = number;
  started.zygote = zygote;
  started.loaded = loaded;
  control::send(control_, control::Event(std::move(started)));
}

}  // namespace hearth::sandbox::init
