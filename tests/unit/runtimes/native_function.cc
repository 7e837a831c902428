// SPDX-License-Identifier: Apache-2.0
#include "native_function.c"
