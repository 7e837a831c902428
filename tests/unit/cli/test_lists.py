# SPDX-License-Identifier: Apache-2.0
"""Lists and objects: tables for eyes, JSON for programs."""

import json
import time
import unittest

from case import FUNCTIONS, RECORD, Case, error
from fake_hearthd import Answer


class Lists(Case):
    def test_a_table_is_aligned_and_in_human_units(self):
        rows = [
            {
                "name": "thumb",
                "version": 3,
                "runtime": "python3",
                "memory_mb": 128,
                "timeout_ms": 3000,
            },
            {
                "name": "a-much-longer-name",
                "version": 12,
                "runtime": "exec",
                "memory_mb": 64,
                "timeout_ms": 500,
            },
        ]
        self.daemon.on("GET", FUNCTIONS, Answer(json.dumps(rows)))
        self.assertEqual(
            self.ok("list").splitlines(),
            [
                "NAME                VERSION  RUNTIME   MEMORY   TIMEOUT",
                "thumb                     3  python3  128 MiB  3 000 ms",
                "a-much-longer-name       12  exec      64 MiB    500 ms",
            ],
        )

    def test_json_is_the_array_that_the_daemon_sent(self):
        rows = [
            {"name": "thumb", "version": 3, "runtime": "python3", "new_member": [1, {"x": "]"}]}
        ]
        self.daemon.on("GET", FUNCTIONS, Answer(json.dumps(rows)))
        self.assertEqual(json.loads(self.ok("list", "--json")), rows)

    def test_an_empty_list_is_an_empty_array_and_a_note(self):
        self.daemon.on("GET", FUNCTIONS, Answer("[]"))
        self.assertEqual(self.ok("list", "--json"), "[]\n")
        result = self.hearth("list")
        self.assertEqual((result.returncode, result.stdout), (0, b""))
        self.assertIn(b"no functions in tenant 'default'", result.stderr)

    def test_the_tenant_is_part_of_the_path_wherever_it_is_written(self):
        self.daemon.on("GET", "/v1/tenants/acme/functions", Answer("[]"))
        self.ok("--tenant", "acme", "list")
        self.ok("list", "--tenant", "acme")
        self.assertEqual(len(self.daemon.asked), 2)

    def test_names_cannot_leave_their_place_in_the_path(self):
        self.fails(3, "describe", "../../tenants")
        self.assertEqual(self.last().path, FUNCTIONS + "/%2E%2E%2F%2E%2E%2Ftenants")

    def test_control_characters_of_the_daemon_do_not_reach_the_terminal(self):
        self.daemon.on(
            "GET", FUNCTIONS, Answer(json.dumps([{"name": "x\x1b[31m\n\u009b1m", "version": 1}]))
        )
        table = self.ok("list")
        self.assertNotIn("\x1b", table)
        self.assertNotIn("\u009b", table)
        self.assertEqual(len(table.splitlines()), 2)

    def test_versions(self):
        rows = [
            {
                "version": 2,
                "live": True,
                "runtime": "python3",
                "hash": "ab" * 32,
                "bytes": 2048,
                "created_at": "2025-01-31T12:00:00.000001Z",
            },
            {"version": 1, "live": False, "hash": "cd" * 32},
        ]
        self.daemon.on("GET", FUNCTIONS + "/thumb/versions", Answer(json.dumps(rows)))
        table = self.ok("versions", "thumb")
        self.assertIn("2  yes   python3  abababababab  2.00 KiB  2025-01-31 12:00:00", table)
        self.assertEqual(json.loads(self.ok("versions", "thumb", "--json")), rows)

    def test_calls_pass_their_filters_on(self):
        self.daemon.on("GET", "/v1/calls", Answer(json.dumps([RECORD])))
        table = self.ok(
            "calls", "thumb", "--limit", "7", "--outcome", "ok", "--since", "2025-01-31"
        )
        self.assertEqual(
            self.last().path,
            "/v1/calls?tenant=default&function=thumb&outcome=ok" "&since=1738281600000000&limit=7",
        )
        self.assertIn("01JABCDEFGHJKMNPQRSTVWXYZ0  2025-01-31 12:00:00  thumb", table)
        self.assertIn("120 us  0 us  1.52 ms    2 ms  1.00 ms  20.0 MiB", table)
        self.assertEqual(json.loads(self.ok("calls", "--json")), [RECORD])

    def test_a_duration_counts_back_from_now(self):
        self.daemon.on("GET", "/v1/calls", Answer("[]"))
        self.ok("calls", "--since", "15m")
        since = int(self.last().path.split("since=")[1].split("&")[0])
        self.assertAlmostEqual(since / 1e6, time.time() - 900, delta=5)

    def test_a_time_that_is_none_is_wrong_usage(self):
        for text in [
            "yesterday",
            "15",
            "5x",
            "2025-02-30",
            "2025-01-31T25:00:00Z",
            "-5m",
            "99999999999999999999s",
        ]:
            with self.subTest(text):
                self.assertIn("is no time", self.fails(2, "calls", "--since=" + text))
        self.assertEqual(self.daemon.asked, [])

    def test_usage(self):
        rows = [
            {
                "tenant": "default",
                "function": "thumb",
                "day": "2025-01-31",
                "calls": 1234,
                "billed_ms": 2500,
                "gb_ms": 313,
                "cpu_us": 1234567,
                "in_bytes": 10,
                "out_bytes": 2097152,
                "errors": {"timeout": 2, "crashed": 1},
            }
        ]
        self.daemon.on("GET", "/v1/usage", Answer(json.dumps(rows)))
        table = self.ok("usage", "--function", "thumb", "--until", "1738281600")
        self.assertEqual(self.last().path, "/v1/usage?function=thumb&until=1738281600000000")
        self.assertIn(
            "2025-01-31  default  thumb     1 234  2 500 ms  0.313  1.234  10 B  2.00 MiB  "
            "3: timeout 2, crashed 1",
            table,
        )
        self.ok("usage", "--tenant", "acme", "--json")
        self.assertEqual(self.last().path, "/v1/usage?tenant=acme")

    def test_a_long_list_streams_and_stays_whole(self):
        def chunks():
            yield b"["
            for i in range(30000):
                yield (b"" if i == 0 else b",") + json.dumps({**RECORD, "version": i}).encode()
            yield b"]"

        self.daemon.on("GET", "/v1/calls", Answer(chunks=chunks()))
        self.assertEqual(len(self.ok("calls").splitlines()), 30001)
        self.daemon.on("GET", "/v1/calls", Answer(chunks=chunks()))
        self.assertEqual(len(json.loads(self.ok("calls", "--json"))), 30000)

    def test_a_list_that_breaks_off_is_a_failure(self):
        body = json.dumps([RECORD] * 100)
        self.daemon.on("GET", "/v1/calls", Answer(body, cut=len(body) // 2))
        self.assertIn("went away in the middle of its answer", self.fails(3, "calls"))

    def test_something_else_than_hearthd_on_the_socket_is_said(self):
        self.daemon.on("GET", FUNCTIONS, Answer("<html>"))
        self.assertIn("is this the socket of hearthd?", self.fails(3, "list"))
        self.daemon.on("GET", FUNCTIONS, Answer("<html>", 500))
        self.assertIn("is this the socket of hearthd?", self.fails(3, "list"))
        self.daemon.on("GET", "/v1/status", Answer("<html>"))
        self.assertIn("is no JSON", self.fails(3, "status"))


class Objects(Case):
    def test_an_object_is_a_line_per_member(self):
        self.daemon.on(
            "GET",
            FUNCTIONS + "/thumb",
            Answer(
                json.dumps(
                    {
                        "name": "thumb",
                        "memory_mb": 128,
                        "env": {"LANG": "C"},
                        "tags": ["a", "b"],
                        "http": None,
                    }
                )
            ),
        )
        self.assertEqual(
            self.ok("describe", "thumb").splitlines(),
            [
                "name       thumb",
                "memory_mb  128 MiB",
                "env",
                "  LANG  C",
                "tags       a, b",
                "http       -",
            ],
        )

    def test_names_come_first_and_numbers_have_units(self):
        record = {"received_at_us": 1738324800250000, "cpu_percent": 50, "log_kb": 256, "id": "01J"}
        self.daemon.on("GET", "/v1/calls/01J", Answer(json.dumps(record)))
        lines = [line.split(None, 1) for line in self.ok("call", "01J").splitlines()]
        self.assertEqual(
            lines,
            [
                ["id", "01J"],
                ["received_at_us", "1738324800250000"],
                ["cpu_percent", "50 %"],
                ["log_kb", "256 KiB"],
            ],
        )

    def test_json_is_one_object(self):
        self.daemon.on("GET", "/v1/calls/" + RECORD["id"], Answer(json.dumps(RECORD, indent=1)))
        text = self.ok("--json", "call", RECORD["id"])
        self.assertEqual(json.loads(text), RECORD)
        self.assertEqual(text.count("\n"), 1)
        self.assertIn("memory_peak_bytes  20.0 MiB", self.ok("call", RECORD["id"]))

    def test_status(self):
        status = {
            "version": "0.1.0",
            "uptime_s": 3725,
            "limits": {"mode": "best-effort", "memory": "polled"},
        }
        self.daemon.on("GET", "/v1/status", Answer(json.dumps(status)))
        self.assertIn("uptime_s  1 h 2 min", self.ok("status"))
        self.assertEqual(json.loads(self.ok("status", "--json")), status)

    def test_rollback(self):
        self.daemon.on(
            "POST", FUNCTIONS + "/thumb/rollback", Answer('{"name":"thumb","version":2}')
        )
        self.assertEqual(self.ok("rollback", "thumb"), "thumb is back at version 2\n")
        self.assertEqual(json.loads(self.last().body), {})
        self.assertEqual(
            json.loads(self.ok("rollback", "thumb", "--to", "2", "--json"))["version"], 2
        )
        self.assertEqual(json.loads(self.last().body), {"version": 2})
        self.fails(2, "rollback", "thumb", "--to", "0")

    def test_delete(self):
        self.daemon.on("DELETE", FUNCTIONS + "/thumb", Answer("{}"))
        self.assertEqual(self.ok("delete", "thumb"), "deleted thumb\n")
        self.assertEqual(self.ok("delete", "thumb", "--json"), "{}\n")
        self.assertIn("not_found: no such thing", self.fails(3, "delete", "other"))

    def test_tenants(self):
        self.daemon.on("POST", "/v1/tenants", Answer('{"name":"acme","concurrency_max":9}'))
        self.daemon.on("DELETE", "/v1/tenants/acme", Answer("{}"))
        self.daemon.on("GET", "/v1/tenants", Answer('[{"name":"acme","concurrency_max":9}]'))
        self.assertEqual(
            self.ok("tenant", "create", "acme", "--concurrency-max", "9"), "created tenant acme\n"
        )
        self.assertEqual(json.loads(self.last().body), {"name": "acme", "concurrency_max": 9})
        self.assertIn("acme                9", self.ok("tenant", "list"))
        self.assertEqual(json.loads(self.ok("tenant", "list", "--json"))[0]["name"], "acme")
        self.assertEqual(self.ok("tenant", "delete", "acme"), "deleted tenant acme\n")
        self.daemon.on(
            "DELETE",
            "/v1/tenants/acme",
            error("conflict", "tenant 'acme' has 2 functions", 409, limit="functions", value=2),
        )
        self.assertEqual(
            self.fails(3, "tenant", "delete", "acme"),
            "error: conflict: tenant 'acme' has 2 functions",
        )

    def test_top_shows_rates_once_when_piped(self):
        status = {
            "version": "0.1.0",
            "uptime_s": 5,
            "limits": {"mode": "strict"},
            "sandboxes": {"ready": 2, "memory_bytes": 1 << 20, "memory_bytes_max": 1 << 30},
            "functions": [
                {"tenant": "default", "name": "thumb", "ready": 2, "running": 1, "waiting": 0}
            ],
        }
        self.daemon.on("GET", "/v1/status", Answer(json.dumps(status)))
        usage = [
            {
                "tenant": "default",
                "function": "thumb",
                "calls": 1000,
                "cpu_us": 5,
                "errors": {"timeout": 4},
            }
        ]
        self.daemon.on("GET", "/v1/usage", Answer(json.dumps(usage)))
        lines = self.ok("top").splitlines()
        self.assertIn("limits strict; sandboxes: 2 ready", lines[0])
        self.assertEqual(
            lines[2].split(), ["default", "thumb", "0.0", "0.0", "2", "1", "0", "1", "000", "4"]
        )
        self.assertEqual(json.loads(self.ok("top", "--json"))["functions"][0]["calls_today"], 1000)


if __name__ == "__main__":
    unittest.main()
