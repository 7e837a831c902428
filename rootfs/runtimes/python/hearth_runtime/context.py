# SPDX-License-Identifier: Apache-2.0
"""The `context` argument of a handler, as AWS Lambda has it."""

import os
import sys
import time


class Context:
    """What a handler may ask about its call. `describe_function` fills in what all calls share."""

    identity = None
    client_context = None
    # Of the call; serve.c sets them.
    aws_request_id = ""
    _deadline_ms = 0

    def get_remaining_time_in_millis(self):
        return max(0, self._deadline_ms - int(time.time() * 1000))

    def log(self, message):
        sys.stdout.write(str(message))

    def __repr__(self):
        names = [name for name in dir(self) if name[0] != "_"]
        fields = {name: getattr(self, name) for name in names}
        return f"LambdaContext({ {n: v for n, v in fields.items() if not callable(v)} })"


def describe_function():
    """Reads the function's environment, once, when it is complete."""
    env = os.environ
    name = env.get("AWS_LAMBDA_FUNCTION_NAME", "")
    Context.function_name = name
    Context.function_version = env.get("AWS_LAMBDA_FUNCTION_VERSION", "")
    Context.memory_limit_in_mb = env.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")
    Context.log_group_name = env.get("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/" + name)
    Context.log_stream_name = env.get("AWS_LAMBDA_LOG_STREAM_NAME", "")
    # The shape of an ARN, for code that takes one apart.
    region = env.get("AWS_REGION", "local")
    Context.invoked_function_arn = f"arn:aws:lambda:{region}:000000000000:function:{name}"
