# SPDX-License-Identifier: Apache-2.0
"""The `context` argument of a handler, and the root logger, both as AWS Lambda has them."""

import logging
import os
import sys
import time

_request_id = ""


class Context:
    """What a handler may ask about its call."""

    identity = None
    client_context = None

    def __init__(self, request_id, deadline_ms):
        global _request_id
        _request_id = request_id
        env = os.environ
        self.aws_request_id = request_id
        self.function_name = env.get("AWS_LAMBDA_FUNCTION_NAME", "")
        self.function_version = env.get("AWS_LAMBDA_FUNCTION_VERSION", "")
        self.memory_limit_in_mb = env.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")
        self.log_group_name = env.get(
            "AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/" + self.function_name
        )
        self.log_stream_name = env.get("AWS_LAMBDA_LOG_STREAM_NAME", "")
        region = env.get("AWS_REGION", "local")
        # The shape of an ARN, for code that takes one apart.
        self.invoked_function_arn = (
            f"arn:aws:lambda:{region}:000000000000:function:{self.function_name}"
        )
        self._deadline_ms = deadline_ms

    def get_remaining_time_in_millis(self):
        return max(0, self._deadline_ms - int(time.time() * 1000))

    def log(self, message):
        sys.stdout.write(str(message))

    def __repr__(self):
        public = {name: value for name, value in vars(self).items() if name[0] != "_"}
        return f"LambdaContext({public})"


class _StdoutHandler(logging.Handler):
    """Writes to what sys.stdout is at that moment, as print does."""

    def emit(self, record):
        try:
            sys.stdout.write(self.format(record))
        except Exception:
            self.handleError(record)


def _add_request_id(record):
    record.aws_request_id = _request_id
    return True


def set_up_logging():
    """Handlers that call logger.info(...) without any configuration get a line in the log."""
    handler = _StdoutHandler()
    formatter = logging.Formatter(
        "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s\n",
        "%Y-%m-%dT%H:%M:%S",
    )
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    handler.addFilter(_add_request_id)
    logging.getLogger().addHandler(handler)
