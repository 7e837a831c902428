// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/deploy.h"
#include "daemon/http/message.h"
#include "daemon/http/server.h"
#include "daemon/invocation.h"

namespace hearth::daemon {

struct ApiOptions {
  std::string state_dir;
  std::string version;
  std::string uploads_dir;
  uint32_t admin_gid = 0;  // members may use the socket besides root and hearthd's own user
  uint64_t pool_memory_bytes = 0;
  std::vector<std::string>
      weaker;  // best-effort mode: `memory`, `processes`, … and the means in use
};

// The management API of ARCHITECTURE.md, health and metrics, and functions' HTTP triggers: every
// request of every listener arrives here.
class Api {
 public:
  // `http` gives the server's counters.
  Api(Services& services, Deployer& deployer, ApiOptions options,
      std::function<const http::Counters&()> http);

  loop::Task<http::Response> handle(http::Request& request);

  // One management request, taken apart. `parts` are the path's segments after /v1.
  struct Context {
    http::Request& request;
    std::vector<std::string> parts;
    std::string query(std::string_view name) const;  // decoded; empty if absent
  };

 private:
  using Reply = loop::Task<http::Response>;
  bool may_manage(const http::Peer& peer) const;
  Reply manage(http::Request& request);
  Reply resource(http::Request& request);

  Reply tenants(Context context);
  Reply functions(Context context);
  Reply deploy(Context context);
  Reply function(Context context);
  Reply rollback(Context context);
  Reply invoke_function(Context context);
  Reply logs(Context context);
  static loop::Task<void> follow(Services& services, std::string tenant, std::string function,
                                 std::optional<ledger::Ulid> call,
                                 ledger::LogStore::Position position, std::string head,
                                 http::ResponseStream& stream);
  Reply calls(Context context);
  Reply usage(Context context);
  Reply images(Context context);
  http::Response status();
  http::Response ready();
  http::Response metrics();
  nlohmann::json function_row(const registry::Version& version, bool live) const;

  Services& services_;
  Deployer& deployer_;
  ApiOptions options_;
  std::function<const http::Counters&()> http_;
  Clock::time_point started_ = Clock::now();
};

http::Response json_response(const nlohmann::json& body, int status = 200);
http::Response api_error(int status, std::string kind, std::string message, std::string limit = {},
                         std::string value = {});

}  // namespace hearth::daemon
