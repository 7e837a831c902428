# SPDX-License-Identifier: Apache-2.0
# The Python function of the figures: a few numbers in, their sum out.
import json


def handle(event, context):
    return {"sum": sum(json.loads(event["body"])["numbers"])}
