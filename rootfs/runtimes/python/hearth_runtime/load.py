# SPDX-License-Identifier: Apache-2.0
"""What a *load* frame asks for: environment, limits, and the handler."""

import importlib
import os
import sys
import time

from hearth_runtime import _hearth, channel, context, failure

KIND = "load_error"


class Order:
    """A parsed *load* frame."""

    def __init__(self, meta):
        self.env = []
        self.handler = ""
        self.mode = "process"
        self.task_dir = "/var/task"
        self.processes_max = None
        for name, value in channel.pairs(meta):
            if name.startswith(b"env:"):
                self.env.append((name[4:], value))
            elif name == b"processes_max":
                self.processes_max = int(value)
            elif name in (b"handler", b"mode", b"task_dir"):
                setattr(self, name.decode(), os.fsdecode(value))


def prepare(order):
    """Everything that user code may rely on when it is imported."""
    for name, value in order.env:
        os.environb[name] = value
    time.tzset()
    context.describe_function()
    if order.processes_max is not None:
        _hearth.limit_processes(order.processes_max)
    try:
        os.chdir(order.task_dir)
    except OSError as error:
        raise failure.Failure(KIND, "Runtime.InvalidTaskDir", str(error)) from None
    # The interpreter is isolated and started before the environment was known.
    extra = os.environ.get("PYTHONPATH", "")
    sys.path[:0] = [order.task_dir] + [folder for folder in extra.split(":") if folder]


def handler(name):
    """The function that `module.func` or `folder/module.func` names; raises Failure."""
    module_name, dot, function_name = name.rpartition(".")
    module_name = module_name.replace("/", ".")
    if not dot or not function_name or not all(module_name.split(".")):
        message = f"Bad handler '{name}': it is not of the form module.function"
        raise failure.Failure(KIND, "Runtime.MalformedHandlerName", message)
    module = _import(module_name)
    function = getattr(module, function_name, None)
    if function is None:
        message = f"Handler '{function_name}' missing on module '{module_name}'"
        raise failure.Failure(KIND, "Runtime.HandlerNotFound", message)
    if not callable(function):
        message = f"Handler '{name}' is no function but {type(function).__name__}"
        raise failure.Failure(KIND, "Runtime.HandlerNotFound", message)
    return function


def _import(name):
    try:
        return importlib.import_module(name)
    except ImportError as error:
        message = f"Unable to import module '{name}': {error}"
        raise failure.from_exception(
            KIND, error, "Runtime.ImportModuleError", message
        ) from None
    except SyntaxError as error:
        message = f"Syntax error in module '{name}': {error}"
        raise failure.from_exception(
            KIND, error, "Runtime.UserCodeSyntaxError", message
        ) from None
    except SystemExit as error:
        message = f"module '{name}' exited while it was imported: exit status {error}"
        raise failure.from_exception(KIND, error, message=message) from None
    except BaseException as error:
        raise failure.from_exception(KIND, error) from None
