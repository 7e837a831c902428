# SPDX-License-Identifier: Apache-2.0
"""The books of a hearthd: records, usage, and what its clients saw must say the same."""

import json

SUMS = ("billed_ms", "in_bytes", "out_bytes")
# What a call can end in without having been given to a sandbox: then there is no record.
REFUSALS = {"overloaded", "concurrency", "draining", "not_found", "bad_request"}


def usage_of(records):
    """The rows that the usage table must show: one per tenant, function and day."""
    rows = {}
    for record in records:
        key = (record["tenant"], record["function"], record["received_at"][:10])
        nothing = dict.fromkeys((*SUMS, "calls", "cpu_us", "mb_ms"), 0)
        row = rows.setdefault(key, nothing | {"errors": {}})
        row["calls"] += 1
        row["cpu_us"] += record["cpu_user_us"] + record["cpu_system_us"]
        row["mb_ms"] += record["memory_mb"] * record["billed_ms"]
        for name in SUMS:
            row[name] += record[name]
        if record["outcome"] != "ok":
            row["errors"][record["outcome"]] = row["errors"].get(record["outcome"], 0) + 1
    for row in rows.values():  # rounded up once, not for each record
        row["gb_ms"] = -(-row.pop("mb_ms") // 1024)
    return rows


def all_records(hearth, function=None):
    filters = {"limit": 10000}
    if function:
        filters["function"] = function
    records = hearth.calls(**filters)
    if len(records) == 10000:
        raise AssertionError("more records than one answer holds: ask by function")
    return records


def check_usage(test, hearth, records):
    """Usage is the sum of the records, and no call has two of them."""
    test.assertEqual(len({record["id"] for record in records}), len(records))
    shown = {}
    for row in json.loads(hearth.api("GET", "/v1/usage")[2]):
        key = row.pop("tenant"), row.pop("function"), row.pop("day")
        test.assertNotIn(key, shown)
        shown[key] = row
    test.assertEqual(shown, usage_of(records))


def seen(answer):
    """(call id, outcome) of an answer as its client reads it."""
    status, headers, body = answer
    if status == 200:
        return headers.get("hearth-call-id"), "ok"
    error = json.loads(body)["error"]
    # To a caller, code that does not load is a function's error like any other.
    load = error["stage"] == "load" and error["kind"] == "function_error"
    return headers.get("hearth-call-id"), "load_error" if load else error["kind"]
