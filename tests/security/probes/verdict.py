# SPDX-License-Identifier: Apache-2.0
"""Runs one attempt and says whether it worked: the same inside a function and outside it.

An attempt returns what it got hold of; one that is fended off raises OSError or Defended.
"""

import errno
import importlib
import json
import sys


class Defended(Exception):
    """The attempt got nothing; says what there was instead."""


def attempt(name, arguments):
    module, function = name.split(".")
    found = getattr(importlib.import_module(module), function)
    try:
        return {"worked": True, "detail": str(found(*arguments))}
    except Defended as reason:
        return {"worked": False, "detail": str(reason)}
    except OSError as error:
        code = errno.errorcode.get(error.errno, str(error))
        return {"worked": False, "detail": code}


def handle(event, context):
    return attempt(event["attempt"], event["with"])


if __name__ == "__main__":
    sys.modules["verdict"] = sys.modules["__main__"]
    print(json.dumps(attempt(sys.argv[1], json.loads(sys.argv[2]))))
