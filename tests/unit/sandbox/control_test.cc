// SPDX-License-Identifier: Apache-2.0
#include "sandbox/control.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <array>
#include <cstring>
#include <filesystem>

#include "sandbox/sys/error.h"

namespace hearth::sandbox::control {
namespace {

struct Pair {
  sys::Fd ours, theirs;
  Pair() {
    int ends[2];
    sys::check(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), "socketpair");
    ours.reset(ends[0]);
    theirs.reset(ends[1]);
  }
};

sys::Fd null() {
  return sys::Fd(sys::check(::open("/dev/null", O_RDWR | O_CLOEXEC), "open"));
}

size_t open_descriptors() {
  return size_t(std::distance(std::filesystem::directory_iterator("/proc/self/fd"),
                              std::filesystem::directory_iterator()));
}

ino_t inode(const sys::Fd& fd) {
  struct stat status {};
  sys::check(::fstat(fd.get(), &status), "fstat");
  return status.st_ino;
}

// Sends raw bytes with `count` descriptors, as a broken or hostile peer would.
void send_raw(int socket, std::string bytes, size_t count = 0) {
  sys::Fd fd = null();
  std::array<char, 256> ancillary{};
  iovec part{bytes.data(), bytes.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (count > 0) {
    message.msg_control = ancillary.data();
    message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int) * count);
    for (size_t i = 0; i < count; ++i) {
      int number = fd.get();
      std::memcpy(CMSG_DATA(rights) + i * sizeof number, &number, sizeof number);
    }
  }
  sys::check(::sendmsg(socket, &message, 0), "sendmsg");
}

int event_error(int socket) {
  try {
    (void)receive_event(socket);  // only how it fails matters
  } catch (const sys::Error& error) {
    return error.code();
  }
  return 0;
}

int request_error(int socket) {
  try {
    (void)receive_request(socket);  // only how it fails matters
  } catch (const sys::Error& error) {
    return error.code();
  }
  return 0;
}

// What is sent for `event`, byte by byte, so that tests can cut and change it.
template <typename Message>
std::string bytes_of(const Message& message) {
  Pair pair;
  send(pair.ours.get(), message);
  std::string bytes(kMessageBytesMax, '\0');
  bytes.resize(size_t(
      sys::check(::recv(pair.theirs.get(), bytes.data(), bytes.size(), MSG_DONTWAIT), "recv")));
  return bytes;
}

Started framed() {
  Started started;
  started.process = 7;
  started.loaded = true;
  started.in = null();
  started.log_out = null();
  started.log_err = null();
  return started;
}

TEST(Control, StartComesBackAsItWasSent) {
  Pair pair;
  Start start{Stdio::kRaw, Role::kZygote, {"/bin/x", "", "a b"}, {"A=1", "B="}};
  send(pair.ours.get(), Request(start));
  std::optional<Request> request = receive_request(pair.theirs.get());
  ASSERT_TRUE(request);
  const Start& got = std::get<Start>(*request);
  EXPECT_EQ(got.stdio, Stdio::kRaw);
  EXPECT_EQ(got.role, Role::kZygote);
  EXPECT_EQ(got.argv, start.argv);
  EXPECT_EQ(got.env, start.env);
}

TEST(Control, SmallRequestsComeBackAsTheyWereSent) {
  Pair pair;
  send(pair.ours.get(), Request(Fork{}));
  send(pair.ours.get(), Request(Recycle{}));
  send(pair.ours.get(), Request(Probe{}));
  EXPECT_TRUE(std::holds_alternative<Fork>(receive_request(pair.theirs.get()).value()));
  EXPECT_TRUE(std::holds_alternative<Recycle>(receive_request(pair.theirs.get()).value()));
  EXPECT_TRUE(std::holds_alternative<Probe>(receive_request(pair.theirs.get()).value()));
}

TEST(Control, EventsComeBackAsTheyWereSent) {
  Pair pair;
  send(pair.ours.get(), Event(Ready{}));
  send(pair.ours.get(), Event(Failed{{"exec", "/var/task/run", ENOENT}}));
  send(pair.ours.get(), Event(Exited{3, 0x0900}));
  send(pair.ours.get(), Event(Probed{1, uint64_t(1) << 40}));
  EXPECT_TRUE(std::holds_alternative<Ready>(receive_event(pair.theirs.get()).value()));
  Failed failed = std::get<Failed>(receive_event(pair.theirs.get()).value());
  EXPECT_EQ(failed.failure.step, "exec");
  EXPECT_EQ(failed.failure.object, "/var/task/run");
  EXPECT_EQ(failed.failure.error, ENOENT);
  Exited exited = std::get<Exited>(receive_event(pair.theirs.get()).value());
  EXPECT_EQ(exited.process, 3u);
  EXPECT_EQ(exited.wait_status, 0x0900);
  Probed probed = std::get<Probed>(receive_event(pair.theirs.get()).value());
  EXPECT_EQ(probed.tmp_bytes_used, 1u);
  EXPECT_EQ(probed.tmp_bytes, uint64_t(1) << 40);
}

TEST(Control, StartedCarriesTheDescriptorsInTheirPlaces) {
  Pair pair, a, b;
  Started started = framed();
  started.in = std::move(a.ours);
  started.log_err = std::move(b.ours);
  ino_t in = inode(started.in), log_err = inode(started.log_err);
  send(pair.ours.get(), Event(std::move(started)));
  Started got = std::get<Started>(receive_event(pair.theirs.get()).value());
  EXPECT_EQ(got.process, 7u);
  EXPECT_TRUE(got.loaded);
  EXPECT_FALSE(got.zygote);
  EXPECT_EQ(inode(got.in), in);
  EXPECT_EQ(inode(got.log_err), log_err);
  EXPECT_TRUE(got.log_out);
  EXPECT_FALSE(got.out);
  EXPECT_EQ(::fcntl(got.in.get(), F_GETFD), FD_CLOEXEC);
}

TEST(Control, RawStartedHasOutInsteadOfLogOut) {
  Pair pair;
  Started started;
  started.zygote = true;
  started.in = null();
  started.out = null();
  started.log_err = null();
  send(pair.ours.get(), Event(std::move(started)));
  Started got = std::get<Started>(receive_event(pair.theirs.get()).value());
  EXPECT_TRUE(got.zygote);
  EXPECT_TRUE(got.out);
  EXPECT_FALSE(got.log_out);
}

TEST(Control, NothingThereIsNoError) {
  Pair pair;
  EXPECT_FALSE(receive_event(pair.theirs.get()));
  EXPECT_FALSE(receive_request(pair.theirs.get()));
}

TEST(Control, EndOfFileIsAnError) {
  Pair pair;
  pair.ours.reset();
  EXPECT_EQ(event_error(pair.theirs.get()), ECONNRESET);
  EXPECT_EQ(request_error(pair.theirs.get()), ECONNRESET);
}

TEST(Control, SendingToAPeerThatIsGoneThrowsAndRaisesNoSignal) {
  Pair pair;
  pair.theirs.reset();
  try {
    send(pair.ours.get(), Event(Ready{}));
    FAIL();
  } catch (const sys::Error& error) {
    EXPECT_EQ(error.code(), EPIPE);
  }
}

TEST(Control, EveryTruncationOfAMessageIsRefused) {
  Pair pair;
  std::string start = bytes_of(Request(Start{{}, {}, {"/bin/x", "y"}, {"A=1"}}));
  for (size_t size = 1; size < start.size(); ++size) {
    send_raw(pair.ours.get(), start.substr(0, size));
    EXPECT_EQ(request_error(pair.theirs.get()), EPROTO) << size;
  }
  for (const Event& event :
       {Event(Failed{{"a", "b", 1}}), Event(Exited{1, 2}), Event(Probed{1, 2})}) {
    std::string bytes = bytes_of(event);
    for (size_t size = 1; size < bytes.size(); ++size) {
      send_raw(pair.ours.get(), bytes.substr(0, size));
      EXPECT_EQ(event_error(pair.theirs.get()), EPROTO) << size;
    }
  }
}

TEST(Control, TrailingBytesAreRefused) {
  Pair pair;
  send_raw(pair.ours.get(), bytes_of(Request(Fork{})) + "x");
  EXPECT_EQ(request_error(pair.theirs.get()), EPROTO);
  send_raw(pair.ours.get(), bytes_of(Event(Ready{})) + "x");
  EXPECT_EQ(event_error(pair.theirs.get()), EPROTO);
}

TEST(Control, UnknownKindsAndValuesAreRefused) {
  Pair pair;
  for (int kind = 0; kind < 256; ++kind) {
    send_raw(pair.ours.get(), std::string(1, char(kind)));
    bool is_request = kind >= 2 && kind <= 4;
    EXPECT_EQ(request_error(pair.theirs.get()), is_request ? 0 : EPROTO) << kind;
  }
  std::string start = bytes_of(Request(Start{{}, {}, {"x"}, {}}));
  start[1] = 2;  // stdio
  send_raw(pair.ours.get(), start);
  EXPECT_EQ(request_error(pair.theirs.get()), EPROTO);
}

TEST(Control, AStartWithoutAProgramIsRefused) {
  Pair pair;
  send(pair.ours.get(), Request(Start{}));
  EXPECT_EQ(request_error(pair.theirs.get()), EPROTO);
}

TEST(Control, ACountBeyondTheMessageIsRefusedBeforeMemoryIsTaken) {
  Pair pair;
  std::string start = bytes_of(Request(Start{{}, {}, {"x"}, {}}));
  std::memset(start.data() + 3, 0xff, 4);  // argc
  send_raw(pair.ours.get(), start);
  EXPECT_EQ(request_error(pair.theirs.get()), EPROTO);
}

TEST(Control, AnyOtherNumberOfDescriptorsIsRefusedAndNoneLeaks) {
  Pair pair;
  std::string started = bytes_of(Event(framed()));
  size_t before = open_descriptors();
  for (size_t count : {0, 1, 2, 4, 5, 20}) {
    send_raw(pair.ours.get(), started, count);
    EXPECT_EQ(event_error(pair.theirs.get()), EPROTO) << count;
  }
  EXPECT_EQ(open_descriptors(), before);
  send_raw(pair.ours.get(), started, 3);
  EXPECT_EQ(event_error(pair.theirs.get()), 0);
  EXPECT_EQ(open_descriptors(), before);
}

TEST(Control, DescriptorsBesideOtherMessagesAreRefusedAndClosed) {
  Pair pair;
  size_t before = open_descriptors();
  send_raw(pair.ours.get(), bytes_of(Event(Ready{})), 1);
  EXPECT_EQ(event_error(pair.theirs.get()), EPROTO);
  send_raw(pair.ours.get(), bytes_of(Request(Fork{})), 1);
  EXPECT_EQ(request_error(pair.theirs.get()), EPROTO);
  EXPECT_EQ(open_descriptors(), before);
}

TEST(Control, MessagesBeyondTheBoundAreRefusedOnBothSides) {
  Pair pair;
  Start start{{}, {}, {std::string(kMessageBytesMax, 'x')}, {}};
  EXPECT_THROW(send(pair.ours.get(), Request(start)), sys::Error);
  send_raw(pair.ours.get(), std::string(kMessageBytesMax + 1, '\2'));
  EXPECT_EQ(request_error(pair.theirs.get()), EPROTO);
  send_raw(pair.ours.get(), std::string(8192, '\x10'));
  EXPECT_EQ(event_error(pair.theirs.get()), EPROTO);
}

TEST(Control, TheLargestStartPasses) {
  Pair pair;
  std::string overhead = bytes_of(Request(Start{{}, {}, {""}, {}}));
  Start start{{}, {}, {std::string(kMessageBytesMax - overhead.size(), 'x')}, {}};
  send(pair.ours.get(), Request(start));
  EXPECT_EQ(std::get<Start>(receive_request(pair.theirs.get()).value()).argv, start.argv);
}

TEST(Control, AStringWithANulIsNotSent) {
  Pair pair;
  Start start{{}, {}, {std::string("a\0b", 3)}, {}};
  EXPECT_THROW(send(pair.ours.get(), Request(start)), sys::Error);
}

TEST(Control, AFailureGetsThroughWhateverItsTextIs) {
  Pair pair;
  send(pair.ours.get(), Event(Failed{{std::string(100000, 's'), std::string("a\0b", 3), EIO}}));
  Failed failed = std::get<Failed>(receive_event(pair.theirs.get()).value());
  EXPECT_EQ(failed.failure.step, std::string(1024, 's'));
  EXPECT_EQ(failed.failure.object, "a");
  EXPECT_EQ(failed.failure.error, EIO);
}

}  // namespace
}  // namespace hearth::sandbox::control
