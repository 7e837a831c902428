// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <llhttp.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "daemon/http/head.h"
#include "daemon/http/limits.h"
#include "daemon/http/message.h"

namespace hearth::http {

// Turns the bytes of one connection into requests, one after the other, into the same Request
// object. No sockets and no clock. llhttp reads; HeadScanner and Framing check. It never holds more
// than the bounds allow.
class Parser {
 public:
  enum class State {
    kHead,   // reading the request line and headers
    kAdmit,  // the headers are complete: call admit() or refuse()
    kBody,
    kComplete,  // the request is complete: call next() once it is answered
    kRefused,   // for good: what follows cannot be told apart any more
  };

  Parser(const Limits& limits, Request& request);
  Parser(const Parser&) = delete;
  Parser& operator=(const Parser&) = delete;

  // Takes bytes and says how many of them it used; it stops at kAdmit, kComplete and kRefused.
  std::size_t feed(std::string_view data);
  // Lets the body in, to memory or, when `directory` is not empty, to a file in it.
  void admit(uint64_t body_bytes_max, const std::string& directory);
  void refuse(Refusal refusal);
  void next();

  // A large body of known length can be read straight into its place: fill some of this space, then
  // call body_received(). Empty: use feed().
  std::span<char> body_space();
  void body_received(std::size_t bytes);

  void release_body();  // of a request that is refused or has been handled

  State state() const { return state_; }
  // A byte of this request has arrived (the empty line that some clients send after a body is
  // none).
  bool begun() const {
    return state_ != State::kHead || lines_.size() > 2 ||
           lines_.find_first_not_of("\r\n") != lines_.npos;
  }
  uint64_t body_bytes() const { return received_; }  // of this request, so far
  uint64_t buffered_bytes() const;                   // memory that this request takes by now
  bool has_body() const { return framing_.chunked || framing_.content_length.value_or(0) > 0; }
  bool expects_continue() const { return framing_.expect_continue && request_.version_minor == 1; }
  bool keep_alive() const;
  const Refusal& refusal() const { return refusal_; }

 private:
  static const llhttp_settings_t& settings();
  static Parser& of(llhttp_t* parser) { return *static_cast<Parser*>(parser->data); }
  std::size_t feed_head(std::string_view data);
  std::size_t feed_body(std::string_view data);
  std::size_t feed_trailers(std::string_view data);
  std::optional<std::string_view> gather(std::string_view data, std::size_t& used);
  void parse_head(std::string_view head);
  std::optional<Refusal> check_head(std::string_view head);
  int begin_chunk(uint64_t bytes);
  int take_body(const char* at, std::size_t bytes);
  int store_header();
  bool check_overhead(const char* at);

  const Limits& limits_;
  Request& request_;
  llhttp_t llhttp_{};
  State state_ = State::kHead;
  Refusal refusal_;

  HeadScanner scanner_;
  std::string lines_;  // of a head or trailers that came in pieces
  std::string_view name_, value_;
  bool headers_complete_ = false;
  bool message_complete_ = false;
  Framing framing_;

  uint64_t body_bytes_max_ = 0;
  uint64_t received_ = 0;
  uint64_t before_piece_ = 0;    // bytes of the body and its chunk lines that llhttp had before
  const char* piece_ = nullptr;  // what it reads now
  bool last_chunk_ = false;      // only trailers may follow
  bool in_place_ = false;        // what llhttp reports lies where it belongs
};

}  // namespace hearth::http
