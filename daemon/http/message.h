// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/http/body_file.h"
#include "daemon/loop/task.h"

// Requests and answers, as handlers see them.
namespace hearth::http {

// Header lines in order, kept as the text that goes over the wire: one allocation, whatever their
// number.
class Headers {
 public:
  // False, and nothing added: the name is no token, or the value has a control character (which
  // could end the header and begin another).
  [[nodiscard]] bool add(std::string_view name, std::string_view value);
  // For names and values that are known to be good (checked, abort).
  void set(std::string_view name, std::string_view value);

  // The first of that name, whatever its case.
  std::optional<std::string_view> find(std::string_view name) const;
  std::size_t size() const { return count_; }
  bool empty() const { return count_ == 0; }
  void clear();
  // `name: value\r\n` of each.
  std::string_view text() const { return text_; }

  // for (auto [name, value] : headers)
  class Iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = std::pair<std::string_view, std::string_view>;
    using difference_type = std::ptrdiff_t;
    using pointer = void;
    using reference = value_type;
    explicit Iterator(std::string_view rest) : rest_(rest) {}
    value_type operator*() const;
    Iterator& operator++();
    bool operator==(const Iterator& other) const { return rest_.size() == other.rest_.size(); }

   private:
    std::string_view rest_;
  };
  Iterator begin() const { return Iterator(text_); }
  Iterator end() const { return Iterator({}); }

 private:
  friend class Parser;  // adds what it has checked, in lower case
  std::string text_;
  std::size_t count_ = 0;
};

// Who is at the other end.
struct Peer {
  bool unix = false;
  uint32_t uid = 0, gid = 0;  // unix: as the kernel saw them when the peer connected
  int32_t pid = 0;
  std::vector<uint32_t> groups;  // unix: the supplementary ones
  std::string address;           // tcp
  uint16_t port = 0;
};

// Lives in its connection until the handler is done with it.
struct Request {
  std::string method;  // GET HEAD POST PUT PATCH DELETE OPTIONS
  std::string target;  // as sent
  std::string path;    // raw, always begins with '/' ("*" for OPTIONS *); see decode()
  std::string query;   // raw, without '?'
  Headers headers;     // names in lower case
  std::string body;    // the handler may move it out
  std::optional<BodyFile> body_file;  // instead of body, where the route asked for it
  Peer peer;
  int version_minor = 1;

  bool is_head() const { return method == "HEAD"; }
};

// Percent-decoding, '+' left alone. nullopt: an escape that is none, or one of NUL.
std::optional<std::string> decode(std::string_view text);
// The decoded value of the first `name=value` of a query ('+' is a space). nullopt: absent or badly
// escaped.
std::optional<std::string> query_value(std::string_view query, std::string_view name);

class Connection;

// Where a streamed answer goes. When the client is gone the stream's task is destroyed.
class ResponseStream {
 public:
  explicit ResponseStream(Connection& connection, bool chunked)
      : connection_(connection), chunked_(chunked) {}
  // Resumes once the kernel has taken everything; `data` must live until then. Empty data sends
  // nothing.
  loop::Task<void> write(std::string_view data);

 private:
  Connection& connection_;
  bool chunked_;
};

// Connection, Content-Length, Date, Keep-Alive, Trailer, Transfer-Encoding and Upgrade are the
// server's: such headers of a handler are not sent.
struct Response {
  int status = 200;
  Headers headers;
  std::string body;
  // Instead of body: sent chunked while this task runs. An exception cuts the connection, so that
  // the client sees it.
  std::function<loop::Task<void>(ResponseStream&)> stream;
};

}  // namespace hearth::http
