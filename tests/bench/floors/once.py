# SPDX-License-Identifier: Apache-2.0
"""A Python handler in a process of its own: one body from standard input, its answer to standard
output. Usage: once.py FILE."""

import importlib.util
import json
import sys

spec = importlib.util.spec_from_file_location("app", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
print(json.dumps(module.handle({"body": sys.stdin.read()}, None)), flush=True)
