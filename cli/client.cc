// SPDX-License-Identifier: Apache-2.0
#include "cli/client.h"

#include <curl/curl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/failure.h"
#include "sandbox/sys/fd.h"

namespace hearth::cli {
namespace {

constexpr size_t kErrorBytesMax = 1u << 20;       // of an error's body; the rest is dropped
constexpr size_t kCollectedBytesMax = 64u << 20;  // of a success that is not streamed

struct CurlDelete {
  void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using CurlHandle = std::unique_ptr<CURL, CurlDelete>;
using CurlList = std::unique_ptr<curl_slist, CurlDelete>;

// One exchange while libcurl runs it. Exceptions must not pass through libcurl's frames: a callback
// keeps its exception here and tells libcurl to stop.
struct Exchange {
  const Request& request;
  Answer answer;
  CURL* curl = nullptr;
  size_t sent = 0;
  uint64_t received = 0;
  std::exception_ptr thrown;
};

size_t on_header(char* bytes, size_t, size_t count, void* user) {
  auto& exchange = *static_cast<Exchange*>(user);
  std::string_view line(bytes, count);
  while (!line.empty() && (line.back() == '\r' || line.back() == '\n')) line.remove_suffix(1);
  if (line.starts_with("HTTP/")) {  // also after an interim answer such as 100
    exchange.answer.headers.clear();
    return count;
  }
  size_t colon = line.find(':');
  if (colon == std::string_view::npos) return count;
  std::string name(line.substr(0, colon));
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  std::string_view value = line.substr(colon + 1);
  while (!value.empty() && value.front() == ' ') value.remove_prefix(1);
  exchange.answer.headers[name] = value;
  return count;
}

void take_body(Exchange& exchange, std::string_view bytes) {
  exchange.received += bytes.size();
  long status = 0;
  curl_easy_getinfo(exchange.curl, CURLINFO_RESPONSE_CODE, &status);
  std::string& body = exchange.answer.body;
  if (status >= 400) {
    body += bytes.substr(0, kErrorBytesMax - std::min(kErrorBytesMax, body.size()));
  } else if (exchange.request.on_body) {
    exchange.request.on_body(bytes);
  } else if (body.size() + bytes.size() > kCollectedBytesMax) {
    throw Failure(Status::kRefused, fmt::format("the answer to {} is larger than {} bytes",
                                                exchange.request.path, kCollectedBytesMax));
  } else {
    body += bytes;
  }
}

size_t on_body(char* bytes, size_t, size_t count, void* user) {
  auto& exchange = *static_cast<Exchange*>(user);
  try {
    take_body(exchange, {bytes, count});
    return count;
  } catch (...) {
    exchange.thrown = std::current_exception();
    return CURL_WRITEFUNC_ERROR;
  }
}

size_t on_read(char* to, size_t, size_t count, void* user) {
  auto& exchange = *static_cast<Exchange*>(user);
  const Upload& upload = exchange.request.upload;
  if (upload.bytes) {
    size_t n = upload.bytes->copy(to, count, exchange.sent);
    exchange.sent += n;
    return n;
  }
  for (;;) {
    ssize_t n = ::read(upload.fd, to, count);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      exchange.thrown = std::make_exception_ptr(Failure(
          Status::kRefused, fmt::format("cannot read the input: {}", std::strerror(errno))));
      return CURL_READFUNC_ABORT;
    }
    exchange.sent += static_cast<size_t>(n);
    return static_cast<size_t>(n);
  }
}

int on_progress(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t sent) {
  auto& exchange = *static_cast<Exchange*>(user);
  try {
    exchange.request.on_sent(static_cast<uint64_t>(sent));
    return 0;
  } catch (...) {
    exchange.thrown = std::current_exception();
    return 1;
  }
}

// Asks the socket itself why it cannot be reached: libcurl tells only that it cannot.
Failure unreachable(const std::string& path) {
  std::string why;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  sys::Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  int code =
      ::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 ? 0 : errno;
  if (code == ENOENT || code == ENOTDIR) {
    why =
        "no such socket; start hearthd ('systemctl start hearthd') or name its socket with "
        "--socket "
        "or HEARTH_SOCKET";
  } else if (code == ECONNREFUSED) {
    why = "nobody listens; hearthd has stopped, start it ('systemctl start hearthd')";
  } else if (code == EACCES) {
    why =
        "permission denied; add your account to the group hearth ('adduser $USER hearth', then log "
        "in "
        "again) or use sudo";
  } else if (code == 0) {
    why = "it closes connections at once; see 'journalctl -u hearthd'";
  } else if (code == EAGAIN) {
    why = "it has more connections waiting than it takes; try again";
  } else {
    why = std::strerror(code);
  }
  return Failure(Status::kRefused, fmt::format("cannot reach hearthd at '{}': {}", path, why));
}

Failure broken(const Exchange& exchange, const std::string& socket_path, CURLcode code) {
  if (code == CURLE_COULDNT_CONNECT) return unreachable(socket_path);
  if (code == CURLE_OPERATION_TIMEDOUT) {
    return Failure(
        Status::kRefused,
        fmt::format("hearthd at '{}' did not answer within {} s; see 'hearth status' and "
                    "'journalctl -u hearthd'",
                    socket_path, exchange.request.timeout.count()));
  }
  if (code == CURLE_SEND_ERROR) {
    return Failure(Status::kRefused,
                   fmt::format("hearthd closed the connection after {} bytes of the "
                               "request; see 'journalctl -u hearthd'",
                               exchange.sent));
  }
  if (code == CURLE_GOT_NOTHING || code == CURLE_PARTIAL_FILE || code == CURLE_RECV_ERROR) {
    return Failure(Status::kRefused,
                   fmt::format("hearthd went away in the middle of its answer, after "
                               "{} bytes; see 'journalctl -u hearthd'",
                               exchange.received));
  }
  return Failure(Status::kRefused, fmt::format("cannot talk to hearthd at '{}': {}", socket_path,
                                               curl_easy_strerror(code)));
}

// Returns the headers to send; the handle keeps a pointer to them.
CurlList set_upload(CURL* curl, const Request& request, Exchange& exchange) {
  const Upload& upload = request.upload;
  curl_slist* list = nullptr;
  for (const std::string& header : request.headers) list = curl_slist_append(list, header.c_str());
  bool has_body = upload.bytes || upload.fd >= 0;
  if (has_body || request.method == "POST") {
    curl_easy_setopt(curl, CURLOPT_POST, 1L);
    curl_off_t size = 0;
    if (upload.bytes) {
      size = static_cast<curl_off_t>(upload.bytes->size());
    } else if (upload.fd >= 0) {
      size = upload.fd_bytes ? static_cast<curl_off_t>(*upload.fd_bytes) : -1;
    }
    if (has_body) {
      curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_read);
      curl_easy_setopt(curl, CURLOPT_READDATA, &exchange);
    } else {
      curl_easy_setopt(curl, CURLOPT_POSTFIELDS, "");
    }
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, size);
    if (size < 0) list = curl_slist_append(list, "Transfer-Encoding: chunked");
    // Large or of unknown size: ask first, so that a refusal is read instead of lost with the
    // connection.
    list = curl_slist_append(list, size < 0 || size > 65536 ? "Expect: 100-continue" : "Expect:");
    list = curl_slist_append(list, "Content-Type:");
  }
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, list);
  return CurlList(list);
}

}  // namespace

std::string Answer::header(const std::string& name) const {
  auto found = headers.find(name);
  return found == headers.end() ? std::string() : found->second;
}

Answer Client::perform(const Request& request) const {
  if (socket_path_.empty() || socket_path_.size() >= sizeof(sockaddr_un::sun_path)) {
    throw Failure(Status::kUsage, fmt::format("the path of a socket has 1 to {} bytes, '{}' has {}",
                                              sizeof(sockaddr_un::sun_path) - 1, socket_path_,
                                              socket_path_.size()));
  }
  CurlHandle curl(curl_easy_init());
  if (!curl) throw Failure(Status::kRefused, "libcurl cannot start");
  Exchange exchange{request, {}, curl.get(), 0, 0, nullptr};
  std::string url = "http://hearth" + request.path;
  curl_easy_setopt(curl.get(), CURLOPT_UNIX_SOCKET_PATH, socket_path_.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_PATH_AS_IS, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_PROXY, "");
  curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_CONNECTTIMEOUT, 5L);
  curl_easy_setopt(curl.get(), CURLOPT_TIMEOUT, static_cast<long>(request.timeout.count()));
  curl_easy_setopt(curl.get(), CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(curl.get(), CURLOPT_HEADERDATA, &exchange);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &exchange);
  if (request.on_sent) {
    curl_easy_setopt(curl.get(), CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl.get(), CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(curl.get(), CURLOPT_XFERINFODATA, &exchange);
  }
  CurlList headers = set_upload(curl.get(), request, exchange);
  if (request.method != "GET" && request.method != "POST")
    curl_easy_setopt(curl.get(), CURLOPT_CUSTOMREQUEST, request.method.c_str());

  CURLcode code = curl_easy_perform(curl.get());
  if (exchange.thrown) std::rethrow_exception(exchange.thrown);
  if (code != CURLE_OK) throw broken(exchange, socket_path_, code);
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &exchange.answer.status);
  return std::move(exchange.answer);
}

Answer Client::request(const Request& request) const {
  Answer answer = perform(request);
  if (answer.status >= 400)
    throw failure_of(answer.status, answer.body, answer.header("retry-after"));
  return answer;
}

Json Client::get(const std::string& path) const {
  return send("GET", path);
}

Json Client::send(const std::string& method, const std::string& path,
                  const std::optional<std::string>& body) const {
  Request call;
  call.method = method;
  call.path = path;
  if (body) {
    call.upload.bytes = *body;
    call.headers.push_back("Content-Type: application/json");
  }
  Answer answer = request(call);
  Json parsed = Json::parse(answer.body, nullptr, false);
  if (parsed.is_discarded()) {
    throw Failure(Status::kRefused,
                  fmt::format("the answer to {} {} is no JSON; is '{}' the socket of "
                              "hearthd?",
                              method, path, socket_path_));
  }
  return parsed;
}

std::string escape_url(std::string_view text) {
  std::string escaped;
  for (unsigned char c : text) {
    bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                 c == '-' || c == '_' || c == '~';
    escaped += plain ? std::string(1, static_cast<char>(c)) : fmt::format("%{:02X}", c);
  }
  return escaped;
}

std::string query(const std::vector<std::pair<std::string, std::string>>& parameters) {
  std::string text;
  for (const auto& [name, value] : parameters) {
    if (value.empty()) continue;
    text += fmt::format("{}{}={}", text.empty() ? "?" : "&", name, escape_url(value));
  }
  return text;
}

}  // namespace hearth::cli
