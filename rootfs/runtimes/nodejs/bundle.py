#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the runtime's modules as one file: node spends a millisecond on each file that it finds,
reads and compiles, in every process, before the function's own code is loaded.

    bundle.py OUTPUT MODULE.cjs...      the last one is run, and finds the others by require()
"""

import pathlib
import sys

HEAD = """'use strict';
const modules = new Map();
const loaded = new Map();
function find(name) {
  if (!modules.has(name)) return require(name);
  if (!loaded.has(name)) {
    const module = { exports: {} };
    loaded.set(name, module);
    modules.get(name)(module, find);
  }
  return loaded.get(name).exports;
}
"""


def main():
    output, *files = map(pathlib.Path, sys.argv[1:])
    parts = [HEAD]
    for file in files:
        text = file.read_text(encoding="utf-8")
        parts.append(f"modules.set('./{file.name}', (module, require) => {{\n{text}}});\n")
    parts.append(f"find('./{files[-1].name}');\n")
    output.write_text("".join(parts), encoding="utf-8")


main()
