// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "cli/client.h"

namespace hearth::cli {

// The options that every command has.
struct Globals {
  std::string socket = "/run/hearth/hearth.sock";
  std::string tenant;  // empty: not named on the command line
  bool json = false;

  Client client() const { return Client(socket); }
  std::string tenant_name() const { return tenant.empty() ? "default" : tenant; }
  // "/v1/tenants/T/functions", with "/NAME" and `rest` behind it when there is a name.
  std::string functions_path(const std::string& name = {}, const std::string& rest = {}) const;
};

}  // namespace hearth::cli
