# SPDX-License-Identifier: Apache-2.0
"""python3, calls by HTTP: python_web_test.py BOOTSTRAP"""

import sys

import support
from web_cases import WebTest

if __name__ == "__main__":
    support.RuntimeTest.argv = ["/usr/bin/python3", "-I", sys.argv[1]]
    WebTest.program = (
        "import json\n"
        "def handle(event, context):\n"
        "    if event['rawPath'] == '/echo':\n        return event\n"
        "    return json.loads(event['body'])\n"
    )
    support.main()
