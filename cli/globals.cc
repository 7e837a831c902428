// SPDX-License-Identifier: Apache-2.0
#include "cli/globals.h"

namespace hearth::cli {

std::string Globals::functions_path(const std::string& name, const std::string& rest) const {
  std::string path = "/v1/tenants/" + escape_url(tenant_name()) + "/functions";
  if (!name.empty()) path += "/" + escape_url(name) + rest;
  return path;
}

}  // namespace hearth::cli
