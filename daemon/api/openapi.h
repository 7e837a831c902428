// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace hearth::daemon {

extern const char* const kOpenApi;  // openapi.json of this folder

}  // namespace hearth::daemon
