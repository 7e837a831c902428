// SPDX-License-Identifier: Apache-2.0
#include "daemon/loop/poll.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <memory>
#include <semaphore>
#include <stdexcept>
#include <string>
#include <vector>

#include "daemon/loop/offload.h"
#include "daemon/loop/timer.h"
#include "sandbox/sys/fd.h"
#include "tests/unit/loop/support.h"

namespace hearth::loop {
namespace {

struct Pair {
  Pair() {
    std::array<int, 2> fds{};
    sys::check(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds.data()),
               "socketpair");
    a = sys::Fd(fds[0]);
    b = sys::Fd(fds[1]);
  }
  sys::Fd a, b;
};

Task<std::string> read_line(Poll& poll, int fd) {
  std::string line;
  for (;;) {
    char c;
    ssize_t n = ::read(fd, &c, 1);
    if (n == 1 && c == '\n') co_return line;
    if (n == 1) {
      line += c;
    } else if (n == 0) {
      co_return line + "<end>";
    } else {
      co_await poll.readable();
    }
  }
}

TEST(Poll, ReadsWhatArrivesInPieces) {
  Loop loop;
  Pair pair;
  Poll poll(loop, pair.a.get());
  int step = 0;
  const std::array<std::string, 3> pieces{"he", "llo", "\n"};
  Timer* again = nullptr;
  Timer writer(loop, [&] {
    const std::string& piece = pieces.at(step++);
    ASSERT_EQ(::write(pair.b.get(), piece.data(), piece.size()), ssize_t(piece.size()));
    if (step < 3) again->arm(milliseconds(2));
  });
  again = &writer;
  writer.arm(milliseconds(2));
  Task<std::string> task = read_line(poll, pair.a.get());
  Waiter finished;
  finished.park([](void* l) { static_cast<Loop*>(l)->stop(); }, &loop);
  task.start(loop, &finished);
  loop.run();
  EXPECT_EQ(task.take(), "hello");
}

TEST(Poll, EndOfFileWakesTheReader) {
  Loop loop;
  Pair pair;
  Poll poll(loop, pair.a.get());
  Task<std::string> task = read_line(poll, pair.a.get());
  Waiter finished;
  finished.park([](void* l) { static_cast<Loop*>(l)->stop(); }, &loop);
  task.start(loop, &finished);
  pair.b.reset();
  loop.run();
  EXPECT_EQ(task.take(), "<end>");
}

Task<size_t> write_all(Poll& poll, int fd, size_t bytes) {
  std::vector<char> block(64 * 1024, 'x');
  size_t waits = 0;
  while (bytes > 0) {
    ssize_t n = ::send(fd, block.data(), std::min(block.size(), bytes), MSG_NOSIGNAL);
    if (n > 0) {
      bytes -= static_cast<size_t>(n);
    } else if (errno == EAGAIN) {
      ++waits;
      co_await poll.writable();
    } else {
      throw sys::Error("send", {}, errno);
    }
  }
  co_return waits;
}

Task<size_t> read_all(Poll& poll, int fd, size_t bytes) {
  std::vector<char> block(16 * 1024);
  size_t got = 0;
  while (got < bytes) {
    ssize_t n = ::read(fd, block.data(), block.size());
    if (n > 0) got += static_cast<size_t>(n);
    if (n < 0) co_await poll.readable();
  }
  co_return got;
}

TEST(Poll, AWriterAndAReaderMoveMoreThanTheSocketHolds) {
  Loop loop;
  Pair pair;
  Poll out(loop, pair.a.get()), in(loop, pair.b.get());
  constexpr size_t kBytes = 16 << 20;
  Task<size_t> writer = write_all(out, pair.a.get(), kBytes);
  Task<size_t> reader = read_all(in, pair.b.get(), kBytes);
  Waiter finished;
  finished.park([](void* l) { static_cast<Loop*>(l)->stop(); }, &loop);
  writer.start(loop);
  reader.start(loop, &finished);
  loop.run();
  EXPECT_EQ(reader.take(), kBytes);
  EXPECT_GT(writer.take(), 0u);
}

TEST(Poll, AWriterLearnsThatThePeerIsGone) {
  Loop loop;
  Pair pair;
  Poll out(loop, pair.a.get());
  Task<size_t> writer = write_all(out, pair.a.get(), 16 << 20);
  Waiter finished;
  finished.park([](void* l) { static_cast<Loop*>(l)->stop(); }, &loop);
  writer.start(loop, &finished);
  pair.b.reset();
  loop.run();
  EXPECT_THROW((void)writer.take(), sys::Error);
}

TEST(Poll, DataThatNobodyWaitsForIsAHintAndDoesNotSpin) {
  Loop loop;
  Pair pair;
  Poll poll(loop, pair.a.get());
  auto wait_once = [](Poll& p) -> Task<void> { co_await p.readable(); };
  Task<void> first = wait_once(poll);
  first.start(loop);
  ASSERT_EQ(::write(pair.b.get(), "x", 1), 1);
  // The byte stays unread: the first event resumes the task, the second finds nobody and ends the
  // interest, and then nothing keeps the loop alive.
  loop.run();
  EXPECT_TRUE(first.done());
  run(loop, wait_once(poll));
}

TEST(Poll, ACallbackCanPauseAndResume) {
  Loop loop;
  Pair pair;
  Poll poll(loop, pair.a.get());
  int calls = 0;
  Timer resume(loop, [&] { poll.pause_reading(false); });
  poll.on_readable([&] {
    if (++calls == 1) {
      poll.pause_reading(true);
      resume.arm(milliseconds(2));
    } else {
      char c;
      EXPECT_EQ(::read(pair.a.get(), &c, 1), 1);
      poll.on_readable(nullptr);
    }
  });
  ASSERT_EQ(::write(pair.b.get(), "x", 1), 1);
  loop.run();
  EXPECT_EQ(calls, 2);
}

TEST(Poll, AHangupIsSeenWhileReadingIsPaused) {
  Loop loop;
  Pair pair;
  Poll poll(loop, pair.a.get());
  int hangups = 0;
  poll.on_readable([] { FAIL(); });
  poll.pause_reading(true);
  poll.on_hangup([&] {
    ++hangups;
    poll.on_hangup(nullptr);
  });
  ASSERT_EQ(::write(pair.b.get(), "x", 1), 1);
  ASSERT_EQ(::shutdown(pair.b.get(), SHUT_WR), 0);
  loop.run();
  EXPECT_EQ(hangups, 1);
}

// A descriptor's number is given to the next one that is opened.
TEST(Poll, AReleasedOneLeavesTheNextOwnerOfItsNumberAlone) {
  Loop loop;
  Pair old;
  auto poll = std::make_unique<Poll>(loop, old.a.get());
  int number = old.a.get();
  poll->when_writable([&] {
    poll->release();
    old.a.reset();
  });
  Timer stop(loop, [&] { loop.stop(); });
  stop.arm(milliseconds(20));
  loop.run();
  ASSERT_FALSE(old.a);

  Pair next;
  ASSERT_EQ(next.a.get(), number);
  Poll watching(loop, next.a.get());
  int seen = 0;
  watching.on_readable([&] {
    ++seen;
    loop.stop();
  });
  Timer drop(loop, [&] { poll.reset(); });
  drop.arm(milliseconds(1));
  Timer write(loop, [&] { (void)!::write(next.b.get(), "x", 1); });
  write.arm(milliseconds(20));
  Timer late(loop, [&] { loop.stop(); });
  late.arm(milliseconds(2000));
  loop.run();
  EXPECT_EQ(seen, 1);
}

TEST(Poll, RefusesARegularFile) {
  Loop loop;
  sys::Fd file(sys::check(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC), "open"));
  EXPECT_THROW(Poll(loop, file.get()), sys::Error);
}

TEST(Offload, BringsBackResultsAndExceptions) {
  Loop loop;
  EXPECT_EQ(run(loop, offload(loop, [] { return std::string("done"); })), "done");
  bool ran = false;
  run(loop, offload(loop, [&ran] { ran = true; }));
  EXPECT_TRUE(ran);
  EXPECT_THROW(run(loop, offload(loop, [] { throw std::runtime_error("boom"); })),
               std::runtime_error);
}

TEST(Offload, AResultThatNobodyWaitsForIsDropped) {
  Loop loop;
  std::binary_semaphore begun(0), go_on(0);
  auto result = std::make_shared<int>(1);
  {
    auto task = offload(loop, [&begun, &go_on, result] {
      begun.release();
      go_on.acquire();
      return result;
    });
    task.start(loop);
    begun.acquire();
  }
  go_on.release();
  loop.run();
  EXPECT_EQ(result.use_count(), 1);
}

TEST(Offload, WorkThatHasNotBegunIsCancelled) {
  std::atomic<int> ran = 0;
  {
    Loop loop;
    std::counting_semaphore<> gate(0);
    std::vector<Task<void>> tasks;
    // More than the pool has threads: the last ones wait in its queue.
    for (int i = 0; i < 64; ++i) {
      tasks.push_back(offload(loop, [&gate, &ran] {
        gate.acquire();
        ++ran;
      }));
      tasks.back().start(loop);
    }
    tasks.clear();
    gate.release(64);
  }
  EXPECT_LT(ran.load(), 64);
}

}  // namespace
}  // namespace hearth::loop
