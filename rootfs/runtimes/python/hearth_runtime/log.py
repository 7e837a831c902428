# SPDX-License-Identifier: Apache-2.0
"""The root logger as AWS Lambda sets it up: logger.info(...) needs no configuration.

Only functions that use `logging` pay for it: with the modules it needs, it renews so much at every
fork that a call of a small function would cost a third more. So it is set up when user code
imports it.
"""

import sys
import time

from hearth_runtime import _hearth

_FORMAT = "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s\n"


def set_up_on_import():
    """Call before user code runs."""
    sys.meta_path.insert(0, _Finder())


class _Finder:
    """Finds `logging` as the other finders do, and runs `_set_up` behind its code."""

    def find_spec(self, name, path=None, target=None):
        if name != "logging":
            return None
        sys.meta_path.remove(self)
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                break
        else:
            return None
        execute = spec.loader.exec_module

        def execute_and_set_up(module):
            # The loader is this module's own: nothing of it outlives the import.
            del spec.loader.exec_module
            execute(module)
            _set_up(module)

        spec.loader.exec_module = execute_and_set_up
        return spec


def _set_up(logging):
    class StdoutHandler(logging.Handler):
        """Writes to what sys.stdout is at that moment, as print does."""

        def emit(self, record):
            try:
                sys.stdout.write(self.format(record))
            except Exception:
                self.handleError(record)

    def add_request_id(record):
        record.aws_request_id = _hearth.request_id()
        return True

    formatter = logging.Formatter(_FORMAT, "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler = StdoutHandler()
    handler.setFormatter(formatter)
    handler.addFilter(add_request_id)
    logging.getLogger().addHandler(handler)
