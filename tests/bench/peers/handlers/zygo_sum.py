# SPDX-License-Identifier: Apache-2.0
"""The python function of the comparison, as Zygo calls it: the event is the body."""


def handler(event):
    return {"sum": sum(event["numbers"])}
