// SPDX-License-Identifier: Apache-2.0
#include "sandbox/spawner/spawner.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "sandbox/spawner/specialise.h"
#include "sandbox/sys/error.h"
#include "sandbox/sys/log.h"

namespace hearth::sandbox::spawner {
namespace {

// A dead sandbox' cgroup counts as empty within moments; one that does not is reported.
constexpr int kRemoveTriesMax = 1000;
constexpr int kRemoveRetryMilliseconds = 2;
constexpr int kLastKillMilliseconds = 5000;

std::string name_of(uint64_t id) {
  return fmt::format("s-{}", id);
}

}  // namespace

std::optional<uint32_t> IdBlocks::take() {
  for (size_t tried = 0; tried < used_.size(); ++tried) {
    uint32_t block = next_;
    next_ = static_cast<uint32_t>((next_ + 1) % used_.size());
    if (used_[block]) continue;
    used_[block] = true;
    return block;
  }
  return std::nullopt;
}

Spawner::Spawner(const SpawnerPolicy& policy, Groups groups, Faults& faults)
    : policy_(policy),
      faults_(faults),
      groups_(std::move(groups)),
      images_(policy.host_image),
      blocks_(policy.subid_base, policy.subid_blocks) {}

void Spawner::serve(int socket) {
  socket_ = socket;
  done(0);
  while (!broken_) {
    wait(socket);
    continue_removals();
    if (!serve_one(socket)) break;
  }
  kill_all();
}

// Until there is a request, or a removal can go on.
void Spawner::wait(int socket) {
  std::vector<pollfd> waits = {{socket, POLLIN, 0}};
  int timeout = -1;
  for (uint64_t id : removals_) {
    int pidfd = sandboxes_.at(id).built.process.pidfd();
    if (pidfd < 0) timeout = kRemoveRetryMilliseconds;  // reaped; its cgroup is not empty yet
    waits.push_back({pidfd, POLLIN, 0});
  }
  if (::poll(waits.data(), waits.size(), timeout) < 0 && errno != EINTR) sys::check(-1, "poll");
}

bool Spawner::serve_one(int socket) {
  // No room for descriptors: the kernel closes any that come along, and tells so.
  wire::RequestBytes bytes;
  iovec part{bytes.data(), bytes.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  ssize_t got = ::recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return true;
  if (got <= 0) return false;
  std::optional<wire::Decoded> request;
  if (!(message.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
    request = wire::decode_request(std::span(bytes).first(size_t(got)));
  }
  if (!request) {
    sys::log::error("hearthd broke the protocol; ending", {{"bytes", got}});
    return false;
  }
  if (auto* bad = std::get_if<wire::BadField>(&*request)) {
    answer(wire::RefusedAnswer{bad->id, Failure{"check request", bad->field, EINVAL}});
    return true;
  }
  std::visit(
      [this](const auto& wanted) {
        uint64_t id;
        if constexpr (requires { wanted.spec; })
          id = wanted.spec.id;
        else
          id = wanted.id;
        try {
          handle(wanted);
        } catch (const sys::Error& error) {
          answer(wire::RefusedAnswer{id, Failure{error.call(), error.object(), error.code()}});
        }
      },
      std::get<wire::Request>(*request));
  return true;
}

void Spawner::refuse_limits(const Limits& limits) const {
  BrokenLimit broken = check_limits(limits, policy_.limits_max);
  if (!broken.name) return;
  throw sys::Error("check limits",
                   fmt::format("{} = {} (bound {})", broken.name, broken.value, broken.bound),
                   ERANGE);
}

Spawner::Sandbox& Spawner::find(uint64_t id) {
  auto found = sandboxes_.find(id);
  if (found == sandboxes_.end()) throw sys::Error("find sandbox", name_of(id), ENOENT);
  if (found->second.removing) throw sys::Error("find sandbox", name_of(id), EBUSY);
  return found->second;
}

void Spawner::handle(const wire::Create& create) {
  const Spec& spec = create.spec;
  refuse_limits(spec.limits);
  if (sandboxes_.contains(spec.id)) throw sys::Error("make sandbox", name_of(spec.id), EEXIST);
  std::optional<uint32_t> block = blocks_.take();
  if (!block) throw sys::Error("take a block of ids", name_of(spec.id), EAGAIN);
  try {
    Built built = build(spec, blocks_.first_id(*block), groups_, images_, faults_);
    Descriptors descriptors = std::move(built.descriptors);
    wire::CreatedAnswer created{spec.id, built.process.pid(), 0};
    sandboxes_.emplace(spec.id, Sandbox{std::move(built), *block, spec.bundle.empty()});
    answer(created, &descriptors);
  } catch (...) {
    blocks_.give_back(*block);
    throw;
  }
}

void Spawner::handle(const wire::Specialise& specialise) {
  Sandbox& sandbox = find(specialise.id);
  refuse_limits(specialise.limits);
  if (!sandbox.generic) throw sys::Error("specialise", name_of(specialise.id), EALREADY);
  sandbox.generic = false;  // whatever becomes of it, it had its one chance
  fail_if_armed(faults_, "open bundle");
  sys::Fd bundle = images_.bundle(specialise.bundle);
  groups_.set_limits(sandbox.built.leaf, specialise.limits);
  spawner::specialise(sandbox.built.process.pidfd(), bundle.get(), specialise.limits,
                      groups_.processes(sandbox.built.leaf), faults_);
  done(specialise.id);
}

void Spawner::handle(const wire::Remove& remove) {
  Sandbox& sandbox = find(remove.id);
  sandbox.removing = true;
  sandbox.remove_tries = 0;
  removals_.push_back(remove.id);
  if (!sandbox.built.process.reap_if_dead()) groups_.kill(sandbox.built.leaf);
  continue_removals();
}

void Spawner::continue_removals() {
  std::erase_if(removals_, [this](uint64_t id) { return continue_removal(id, sandboxes_.at(id)); });
}

bool Spawner::continue_removal(uint64_t id, Sandbox& sandbox) {
  try {
    if (!sandbox.built.process.reap_if_dead()) return false;
    if (!groups_.remove(sandbox.built.leaf)) {
      if (++sandbox.remove_tries < kRemoveTriesMax) return false;
      throw sys::Error("rmdir cgroup", sandbox.built.leaf, EBUSY);
    }
  } catch (const sys::Error& error) {
    // It stays known, with its block of ids, so that it can be asked for again.
    sandbox.removing = false;
    answer(wire::RefusedAnswer{id, Failure{error.call(), error.object(), error.code()}});
    return true;
  }
  blocks_.give_back(sandbox.block);
  sandboxes_.erase(id);
  done(id);
  return true;
}

void Spawner::handle(const wire::Prune& prune) {
  groups_.prune(prune.tenant, prune.function);
  done(prune.id);
}

void Spawner::handle(const wire::Purge& purge) {
  std::set<std::string> leaves;
  for (const auto& [id, sandbox] : sandboxes_) leaves.insert(sandbox.built.leaf);
  groups_.purge(leaves);
  done(purge.id);
}

// Not answered: who asked waits for the processes' end, and may have another request under way.
void Spawner::handle(const wire::Kill& kill) {
  auto found = sandboxes_.find(kill.id);
  if (found == sandboxes_.end()) return;
  try {
    if (!found->second.built.process.reap_if_dead()) groups_.kill(found->second.built.leaf);
  } catch (const sys::Error& error) {
    sys::log::error("cannot kill a sandbox by its cgroup", {{"error", error.what()}});
  }
}

void Spawner::kill_all() {
  for (auto& [id, sandbox] : sandboxes_) {
    try {
      if (!sandbox.built.process.reap_if_dead()) groups_.kill(sandbox.built.leaf);
    } catch (const sys::Error& error) {
      // PID 1 dies with this process at the latest, and the rest of its namespace with it.
      sys::log::error("cannot kill a sandbox by its cgroup", {{"error", error.what()}});
    }
  }
  for (auto& [id, sandbox] : sandboxes_) {
    if (sandbox.built.process.reap_if_dead()) continue;
    pollfd dead{sandbox.built.process.pidfd(), POLLIN, 0};
    (void)::poll(&dead, 1, kLastKillMilliseconds);
  }
  sandboxes_.clear();  // reaps them
}

void Spawner::answer(const wire::Answer& answer, Descriptors* descriptors) {
  wire::Answer complete = answer;
  int passed[wire::kDescriptorsMax];
  size_t count = 0;
  if (descriptors) {
    auto& created = std::get<wire::CreatedAnswer>(complete);
    uint32_t bit = 1;
    for (sys::Fd* member : wire::members(*descriptors)) {
      if (*member) passed[count++] = member->get(), created.descriptors |= bit;
      bit <<= 1;
    }
  }
  wire::AnswerBytes bytes = wire::encode(complete);
  iovec part{bytes.data(), bytes.size()};
  alignas(cmsghdr) char ancillary[CMSG_SPACE(sizeof passed)] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (count > 0) {
    message.msg_control = ancillary;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int) * count);
    std::memcpy(CMSG_DATA(rights), passed, sizeof(int) * count);
  }
  // Blocking: a hearthd that reads no answers waits for itself.
  ssize_t sent;
  do sent = ::sendmsg(socket_, &message, MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  if (sent < 0) broken_ = true;
}

}  // namespace hearth::sandbox::spawner
