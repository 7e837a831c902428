// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cerrno>
#include <stdexcept>
#include <string>
#include <string_view>

namespace hearth::sys {

// The host refused something we need: which call, on what, and why.
// Never for what a client or a function did: that is a value.
class Error : public std::runtime_error {
 public:
  Error(std::string_view call, std::string_view object, int code);
  int code() const { return code_; }
  const std::string& call() const { return call_; }
  const std::string& object() const { return object_; }

 private:
  std::string call_, object_;
  int code_;
};

// Returns `rc`, or throws what errno says when it is negative.
template <typename Rc>
Rc check(Rc rc, std::string_view call, std::string_view object = {}) {
  if (rc < 0) throw Error(call, object, errno);
  return rc;
}

// Our own bug: says where and aborts.
[[noreturn]] void bug(const char* condition, const char* file, int line);

}  // namespace hearth::sys

#define HEARTH_CHECK(condition) \
  ((condition) ? void(0) : ::hearth::sys::bug(#condition, __FILE__, __LINE__))
