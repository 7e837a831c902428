// SPDX-License-Identifier: Apache-2.0
// The runtimes below the real hearth-init, behind its filter, with the rights of a function.
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <set>
#include <string>

#include "sandbox/frame.h"
#include "sandbox/sys/error.h"
#include "tests/unit/sandbox/init_box.h"

namespace hearth::sandbox {
namespace {

using control::Role;
using control::Stdio;

void wait_for(int fd, short events) {
  pollfd poller{fd, events, 0};
  if (::poll(&poller, 1, 20'000) != 1) throw sys::Error("poll", "channel", ETIMEDOUT);
}

void write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t sent = ::write(fd, bytes.data(), bytes.size());
    if (sent < 0 && errno == EAGAIN) {
      wait_for(fd, POLLOUT);
    } else {
      bytes.remove_prefix(sys::check(sent, "write", "channel"));
    }
  }
}

std::string read_exactly(int fd, size_t size) {
  std::string bytes(size, '\0');
  for (size_t at = 0; at < size;) {
    wait_for(fd, POLLIN);
    ssize_t got = sys::check(::read(fd, bytes.data() + at, size - at), "read", "channel");
    if (got == 0) throw sys::Error("read", "channel", EPIPE);
    at += got;
  }
  return bytes;
}

void send(const control::Started& process, frame::Type type, frame::Pairs pairs,
          std::string_view body = {}) {
  std::string meta;
  for (auto& [name, value] : pairs) frame::append_meta(meta, name, value);
  std::array<std::byte, frame::kHeaderBytes> header;
  frame::encode({type, 0, static_cast<uint32_t>(meta.size()), static_cast<uint32_t>(body.size()),
                 type == frame::Type::kCall},
                header);
  std::string bytes(reinterpret_cast<const char*>(header.data()), header.size());
  write_all(process.in.get(), bytes + meta + std::string(body));
}

// The body of the next frame; what it says instead when it is of another type.
std::string receive(const control::Started& process, frame::Type wanted) {
  std::string bytes = read_exactly(process.in.get(), frame::kHeaderBytes);
  std::span<const std::byte, frame::kHeaderBytes> raw(
      reinterpret_cast<const std::byte*>(bytes.data()), frame::kHeaderBytes);
  std::optional<frame::Header> header = frame::decode(raw);
  if (!header) return "no frame";
  std::string meta = read_exactly(process.in.get(), header->meta_bytes);
  std::string body = read_exactly(process.in.get(), header->body_bytes);
  return header->type == wanted ? body : "another frame: " + meta;
}

std::string call(const control::Started& process, std::string_view event) {
  send(process, frame::Type::kCall,
       {{"request_id", "r"}, {"deadline_ms", "0"}, {"trigger", "cli"}}, event);
  return receive(process, frame::Type::kReply);
}

// Copies this build's runtimes and `program` into the sandbox's /tmp.
void unpack(Box& box, const std::string& file, const std::string& program) {
  box.send(control::Start{Stdio::kRaw,
                          Role::kServer,
                          {"/bin/sh", "-c", "tar -x -C /tmp && cat /tmp/copied"},
                          {"PATH=/usr/bin"}});
  control::Started tar = box.next_started();
  std::string pack = "cd $(mktemp -d) && echo copied > copied && cp -rL " RUNTIMES
                     "/python " RUNTIMES "/nodejs . && cat > " + file +
                     " <<'END'\n" + program + "END\ntar -c * && rm -r \"$PWD\"";
  FILE* pipe = ::popen(pack.c_str(), "re");
  std::array<char, 65536> chunk;
  while (size_t got = std::fread(chunk.data(), 1, chunk.size(), pipe))
    write_all(tar.in.get(), {chunk.data(), got});
  ASSERT_EQ(::pclose(pipe), 0);
  tar.in.reset();
  ASSERT_EQ(read_all(tar.out.get()), "copied\n") << read_all(tar.log_err.get());
  ASSERT_EQ(box.next_exited().wait_status, 0);
}

control::Started start_loaded(Box& box, std::vector<std::string> argv, Role role,
                              const char* mode) {
  box.send(control::Start{Stdio::kFramed, role, std::move(argv), {"PATH=/usr/bin"}});
  control::Started process = box.next_started();
  EXPECT_EQ(receive(process, frame::Type::kHello), "");
  send(process, frame::Type::kLoad,
       {{"handler", "app.handle"}, {"mode", mode}, {"task_dir", "/tmp"}, {"processes_max", "40"}});
  EXPECT_EQ(receive(process, frame::Type::kReady), "");
  return process;
}

constexpr const char* kPython = R"(
import os, random, subprocess, threading
def handle(event, context):
    thread = threading.Thread(target=os.getpid)
    thread.start()
    thread.join()
    open('/tmp/left', 'x').close()
    echo = subprocess.run(['/usr/bin/echo', event], capture_output=True, text=True)
    print('logged', event)
    return [echo.stdout.strip(), random.random(), os.getppid()]
)";

TEST(RuntimesBox, PythonChildrenServeFreshAfterEachRecycle) {
  Box box({.show_processes_to_init = true});
  unpack(box, "app.py", kPython);
  control::Started zygote =
      start_loaded(box, {"/usr/bin/python3", "-I", "/tmp/python/bootstrap.py"}, Role::kZygote,
                   "sandbox");
  EXPECT_TRUE(zygote.zygote);
  std::set<std::string> answers;
  box.send(control::Fork{});
  for (int i = 0; i < 20; ++i) {
    control::Started child = box.next_started();
    ASSERT_TRUE(child.loaded);
    std::string answer = call(child, "\"hi\"");
    EXPECT_EQ(answer.substr(0, 7), "[\"hi\", ") << answer;
    EXPECT_EQ(answer.substr(answer.size() - 4), ", 1]") << answer;
    EXPECT_TRUE(answers.insert(answer).second) << "the same twice: " << answer;
    EXPECT_EQ(read_all(child.log_out.get()), "logged hi\n");
    box.send(control::Recycle{});
  }
  EXPECT_TRUE(box.next_started().loaded);
}

TEST(RuntimesBox, NodeServesItsCall) {
  Box box;
  unpack(box, "app.js",
         "exports.handle = async (event) => { console.log('logged'); return [event]; };\n");
  control::Started process = start_loaded(box, {"/usr/bin/node", "/tmp/nodejs/bootstrap.cjs"},
                                          Role::kServer, "sandbox");
  EXPECT_EQ(call(process, "\"hi\""), "[\"hi\"]");
  EXPECT_EQ(read_all(process.log_out.get()), "logged\n");
  EXPECT_EQ(box.next_exited().wait_status, 0);
}

}  // namespace
}  // namespace hearth::sandbox
