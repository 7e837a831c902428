# SPDX-License-Identifier: Apache-2.0
"""nodejs, calls by HTTP: nodejs_web_test.py BOOTSTRAP"""

import sys

import support
from web_cases import WebTest

if __name__ == "__main__":
    support.RuntimeTest.argv = ["/usr/bin/node", sys.argv[1]]
    WebTest.suffix = ".js"
    WebTest.program = (
        "exports.handle = async (event) =>\n"
        "  event.rawPath === '/echo' ? event : JSON.parse(event.body);\n"
    )
    support.main()
