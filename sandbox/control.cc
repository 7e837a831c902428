// SPDX-License-Identifier: Apache-2.0
#include "sandbox/control.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>

#include "sandbox/sys/error.h"

// Layout: one byte that says which message, then its fields in order, integers in the host's own
// byte order (both ends are on one host), strings ended by NUL. Descriptors travel beside a
// Started, in the order of its members.
namespace hearth::sandbox::control {
namespace {

enum class Kind : uint8_t {
  kStart = 1,
  kFork = 2,
  kRecycle = 3,
  kProbe = 4,
  kReady = 16,
  kFailed = 17,
  kStarted = 18,
  kExited = 19,
  kProbed = 20,
};

// The largest event is a Failed: two strings. What does not fit of them is cut off.
constexpr size_t kEventBytesMax = 4096;
constexpr size_t kFailureTextMax = 1024;
constexpr size_t kStartedDescriptors = 3;

enum StartedFlags : uint8_t { kIsZygote = 1, kIsLoaded = 2, kIsRaw = 4, kAllStartedFlags = 7 };

[[noreturn]] void malformed(std::string_view what) {
  throw sys::Error("control", what, EPROTO);
}

class Writer {
 public:
  explicit Writer(Kind kind) { number(kind); }

  template <typename T>
  void number(T value) {
    static_assert(std::is_trivially_copyable_v<T>);
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  // A NUL inside would shift every later field, so it is refused here rather than by the reader.
  void text(std::string_view value) {
    if (value.find('\0') != std::string_view::npos) throw sys::Error("control", "string", EINVAL);
    bytes_.append(value).push_back('\0');
  }
  void texts(const std::vector<std::string>& values) {
    number(uint32_t(values.size()));
    for (const std::string& value : values) text(value);
  }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}

  template <typename T>
  T number() {
    T value;
    if (rest_.size() < sizeof value) malformed("truncated");
    std::memcpy(&value, rest_.data(), sizeof value);
    rest_.remove_prefix(sizeof value);
    return value;
  }
  std::string text() {
    size_t end = rest_.find('\0');
    if (end == std::string_view::npos) malformed("truncated");
    std::string value(rest_.substr(0, end));
    rest_.remove_prefix(end + 1);
    return value;
  }
  std::vector<std::string> texts() {
    uint32_t count = number<uint32_t>();
    if (count > rest_.size()) malformed("truncated");  // each string has at least its NUL
    std::vector<std::string> values;
    values.reserve(count);
    for (uint32_t i = 0; i < count; ++i) values.push_back(text());
    return values;
  }
  // A byte that must be one of 0 .. `max`.
  uint8_t choice(uint8_t max) {
    uint8_t value = number<uint8_t>();
    if (value > max) malformed("unknown value");
    return value;
  }
  void finish() const {
    if (!rest_.empty()) malformed("trailing bytes");
  }

 private:
  std::string_view rest_;
};

void send_bytes(int control, const std::string& bytes, std::span<const int> descriptors = {}) {
  if (bytes.size() > kMessageBytesMax) throw sys::Error("control", "message", EMSGSIZE);
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kStartedDescriptors)> ancillary{};
  if (!descriptors.empty()) {
    message.msg_control = ancillary.data();
    message.msg_controllen = ancillary.size();
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(descriptors.size_bytes());
    std::memcpy(CMSG_DATA(rights), descriptors.data(), descriptors.size_bytes());
  }
  ssize_t sent;
  do sent = ::sendmsg(control, &message, MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  sys::check(sent, "sendmsg", "control");
}

// One message with its descriptors; what is not taken from here is closed.
struct Received {
  size_t bytes = 0;
  std::vector<sys::Fd> descriptors;
};

void take_descriptors(msghdr& message, std::vector<sys::Fd>& out) {
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof fd, sizeof fd);
      out.emplace_back(fd);
    }
  }
}

std::optional<Received> receive(int control, std::span<char> buffer) {
  iovec part{buffer.data(), buffer.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kStartedDescriptors)> ancillary;
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = ancillary.data();
  message.msg_controllen = ancillary.size();
  ssize_t got;
  do got = ::recvmsg(control, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  while (got < 0 && errno == EINTR);
  if (got < 0 && errno == EAGAIN) return std::nullopt;
  sys::check(got, "recvmsg", "control");
  Received received;
  received.bytes = size_t(got);
  take_descriptors(message, received.descriptors);
  if (message.msg_flags & MSG_TRUNC) malformed("message too long");
  if (message.msg_flags & MSG_CTRUNC) malformed("too many descriptors");
  // A message without bytes looks the same; nobody who keeps to the protocol sends one.
  if (got == 0) throw sys::Error("recvmsg", "control", ECONNRESET);
  return received;
}

Start read_start(Reader& reader) {
  Start start;
  start.stdio = Stdio(reader.choice(uint8_t(Stdio::kRaw)));
  start.role = Role(reader.choice(uint8_t(Role::kZygote)));
  start.argv = reader.texts();
  start.env = reader.texts();
  if (start.argv.empty()) malformed("no program");
  return start;
}

Request read_request(Reader& reader) {
  switch (reader.number<Kind>()) {
    case Kind::kStart:
      return read_start(reader);
    case Kind::kFork:
      return Fork{};
    case Kind::kRecycle:
      return Recycle{};
    case Kind::kProbe:
      return Probe{};
    default:
      malformed("unknown request");
  }
}

Started read_started(Reader& reader, std::vector<sys::Fd>& descriptors) {
  Started started;
  started.process = reader.number<uint32_t>();
  uint8_t flags = reader.choice(kAllStartedFlags);
  started.zygote = flags & kIsZygote;
  started.loaded = flags & kIsLoaded;
  if (descriptors.size() != kStartedDescriptors) malformed("wrong number of descriptors");
  started.in = std::move(descriptors[0]);
  (flags & kIsRaw ? started.out : started.log_out) = std::move(descriptors[1]);
  started.log_err = std::move(descriptors[2]);
  descriptors.clear();
  return started;
}

Event read_event(Reader& reader, std::vector<sys::Fd>& descriptors) {
  switch (reader.number<Kind>()) {
    case Kind::kReady:
      return Ready{};
    case Kind::kFailed: {
      Failed failed;
      failed.failure.step = reader.text();
      failed.failure.object = reader.text();
      failed.failure.error = reader.number<int>();
      return failed;
    }
    case Kind::kStarted:
      return read_started(reader, descriptors);
    case Kind::kExited: {
      Exited exited;
      exited.process = reader.number<uint32_t>();
      exited.wait_status = reader.number<int>();
      return exited;
    }
    case Kind::kProbed: {
      Probed probed;
      probed.tmp_bytes_used = reader.number<uint64_t>();
      probed.tmp_bytes = reader.number<uint64_t>();
      return probed;
    }
    default:
      malformed("unknown event");
  }
}

// A failure must get through whatever its object's name is.
std::string_view cut(std::string_view text) {
  return text.substr(0, std::min(kFailureTextMax, text.find('\0')));
}

struct RequestSender {
  int control;

  void operator()(const Start& start) const {
    Writer writer(Kind::kStart);
    writer.number(start.stdio);
    writer.number(start.role);
    writer.texts(start.argv);
    writer.texts(start.env);
    send_bytes(control, writer.bytes());
  }
  void operator()(const Fork&) const { send_bytes(control, Writer(Kind::kFork).bytes()); }
  void operator()(const Recycle&) const { send_bytes(control, Writer(Kind::kRecycle).bytes()); }
  void operator()(const Probe&) const { send_bytes(control, Writer(Kind::kProbe).bytes()); }
};

struct EventSender {
  int control;

  void operator()(const Ready&) const { send_bytes(control, Writer(Kind::kReady).bytes()); }
  void operator()(const Failed& failed) const {
    Writer writer(Kind::kFailed);
    writer.text(cut(failed.failure.step));
    writer.text(cut(failed.failure.object));
    writer.number(failed.failure.error);
    send_bytes(control, writer.bytes());
  }
  void operator()(const Started& started) const {
    bool raw = bool(started.out);
    Writer writer(Kind::kStarted);
    writer.number(started.process);
    writer.number(uint8_t((started.zygote ? kIsZygote : 0) | (started.loaded ? kIsLoaded : 0) |
                          (raw ? kIsRaw : 0)));
    const std::array<int, kStartedDescriptors> descriptors = {
        started.in.get(), raw ? started.out.get() : started.log_out.get(), started.log_err.get()};
    send_bytes(control, writer.bytes(), descriptors);
  }
  void operator()(const Exited& exited) const {
    Writer writer(Kind::kExited);
    writer.number(exited.process);
    writer.number(exited.wait_status);
    send_bytes(control, writer.bytes());
  }
  void operator()(const Probed& probed) const {
    Writer writer(Kind::kProbed);
    writer.number(probed.tmp_bytes_used);
    writer.number(probed.tmp_bytes);
    send_bytes(control, writer.bytes());
  }
};

}  // namespace

void send(int control, const Request& request) {
  std::visit(RequestSender{control}, request);
}

void send(int control, const Event& event) {
  std::visit(EventSender{control}, event);
}

std::optional<Event> receive_event(int control) {
  std::array<char, kEventBytesMax> buffer;
  std::optional<Received> received = receive(control, buffer);
  if (!received) return std::nullopt;
  Reader reader(std::string_view(buffer.data(), received->bytes));
  Event event = read_event(reader, received->descriptors);
  reader.finish();
  if (!received->descriptors.empty()) malformed("unexpected descriptors");
  return event;
}

std::optional<Request> receive_request(int control) {
  // Not zeroed: of this stack only the pages that the message fills are ever touched.
  std::array<char, kMessageBytesMax> buffer;
  std::optional<Received> received = receive(control, buffer);
  if (!received) return std::nullopt;
  Reader reader(std::string_view(buffer.data(), received->bytes));
  Request request = read_request(reader);
  reader.finish();
  if (!received->descriptors.empty()) malformed("unexpected descriptors");
  return request;
}

}  // namespace hearth::sandbox::control
