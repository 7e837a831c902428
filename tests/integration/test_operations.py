# SPDX-License-Identifier: Apache-2.0
"""Operating hearthd: stop, restart, deploy, roll back and delete while it serves."""

import http.client
import json
import pathlib
import pwd
import signal
import socket
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from instance import Instance
from waiting import Background, until

SLOW = """
import time
def handle(event, context):
    print("begun", flush=True)
    time.sleep(float((event.get("queryStringParameters") or {}).get("s", "1")))
    return "VERSION"
"""
SECTION = "timeout_ms = 60000\n[http]\n"


class Case(unittest.TestCase):
    def instance(self, *args, **options):
        hearth = Instance(*args, **options).start()
        self.addCleanup(hearth.close)
        return hearth

    def slow(self, hearth, version="one", name="slow"):
        return hearth.python(name, SLOW.replace("VERSION", version), SECTION)

    def begin(self, hearth, seconds, name="slow"):
        """A call on a thread of its own, once it runs."""
        call = Background(hearth.http, "GET", f"/fn/default/{name}?s={seconds}")
        until(lambda: running(hearth, name), "the call runs")
        return call


def running(hearth, name):
    rows = hearth.json("status")["functions"]
    return sum(row["running"] for row in rows if row["name"] == name)


def mounts_with(text, pid="self"):
    lines = pathlib.Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
    return [line for line in lines if text in line]


class Stopping(Case):
    def test_sigterm_lets_calls_finish_and_takes_no_new_ones(self):
        hearth = self.instance()
        self.slow(hearth)
        idle = socket.create_connection(("127.0.0.1", hearth.port))
        self.addCleanup(idle.close)
        call = self.begin(hearth, 1)
        hearth.process.send_signal(signal.SIGTERM)

        def refused():
            try:
                socket.create_connection(("127.0.0.1", hearth.port)).close()
                return False
            except ConnectionRefusedError:
                return True

        until(refused, "new connections are refused")
        self.assertIsNone(hearth.process.poll())
        status, headers, body = call.result()
        self.assertEqual((status, body), (200, b'"one"'))
        self.assertEqual(hearth.process.wait(30), 0)
        hearth.process = None
        hearth.start()
        record = json.loads(hearth.api("GET", "/v1/calls/" + headers["hearth-call-id"])[2])
        self.assertEqual(record["outcome"], "ok")

    def test_sigterm_serves_what_waits_for_a_sandbox_and_what_has_partly_arrived(self):
        hearth = self.instance()
        hearth.python("slow", SLOW.replace("VERSION", "one"),
                      SECTION.replace("[http]", "concurrency_max = 1\n[http]"))
        first = self.begin(hearth, 2)
        second = Background(hearth.http, "GET", "/fn/default/slow?s=0")
        until(lambda: hearth.json("status")["functions"][0]["waiting"] == 1, "one call waits")
        with socket.create_connection(("127.0.0.1", hearth.port)) as client:
            client.settimeout(60)
            client.sendall(b"POST /fn/default/slow?s=0 HTTP/1.1\r\nHost: h\r\n"
                           b"Content-Length: 2\r\n\r\n1")
            time.sleep(0.2)
            hearth.process.send_signal(signal.SIGTERM)
            until(lambda: "calls in flight finish" in hearth.log(), "it drains")
            time.sleep(1.5)  # longer than who is silent may stay
            client.sendall(b"2")
            self.assertRegex(client.recv(1000), rb"^HTTP/1.1 200 ")
        for call in (first, second):
            self.assertEqual(call.result()[0], 200)
        self.assertEqual(hearth.process.wait(30), 0)
        hearth.process = None
        hearth.start()
        self.assertEqual([record["outcome"] for record in hearth.calls(function="slow")],
                         ["ok"] * 3)

    def test_sigterm_serves_what_arrived_in_the_same_moment(self):
        hearth = self.instance()
        self.slow(hearth)
        clients = [socket.create_connection(("127.0.0.1", hearth.port)) for _ in range(4)]
        for client in clients:
            self.addCleanup(client.close)
            client.settimeout(60)
        until(lambda: b"\nhearth_http_connections 5\n" in hearth.api("GET", "/metrics")[2],
              "they are accepted")
        hearth.process.send_signal(signal.SIGSTOP)
        for client in clients:
            client.sendall(b"GET /fn/default/slow?s=0 HTTP/1.1\r\nHost: h\r\n\r\n")
        hearth.process.send_signal(signal.SIGTERM)
        hearth.process.send_signal(signal.SIGCONT)
        for client in clients:
            self.assertRegex(client.recv(1000), rb"^HTTP/1.1 200 ")
        self.assertEqual(hearth.process.wait(30), 0)
        hearth.process = None

    def test_a_delete_waits_for_no_sandbox_of_what_is_deployed_after_it(self):
        hearth = self.instance()
        self.slow(hearth)
        call = self.begin(hearth, 3)
        path = "/v1/tenants/default/functions/slow"
        deletion = Background(hearth.api, "DELETE", path)
        until(lambda: hearth.api("GET", path + "/versions")[0] == 404, "it is gone")
        hearth.python("slow", SLOW.replace("VERSION", "two"), "warm_min = 1\n" + SECTION)
        self.assertEqual(hearth.http("GET", "/fn/default/slow?s=0")[2], b'"two"')
        self.assertEqual(call.result()[2], b'"one"')
        self.assertLess(deletion.result(20)[0], 300)
        self.assertEqual(hearth.http("GET", "/fn/default/slow?s=0")[2], b'"two"')

    def test_a_second_sigterm_kills_what_runs(self):
        hearth = self.instance()
        self.slow(hearth)
        call = self.begin(hearth, 50)
        pids = hearth.sandbox_pids()
        self.assertTrue(pids)
        begin = time.monotonic()
        hearth.process.send_signal(signal.SIGTERM)
        until(lambda: "calls in flight finish" in hearth.log(), "it drains")
        self.assertEqual(hearth.stop(), 0)
        self.assertLess(time.monotonic() - begin, 40)
        with self.assertRaises((OSError, http.client.HTTPException)):
            call.result()
        until(lambda: not any(pathlib.Path(f"/proc/{pid}").exists() for pid in pids), "all end")
        hearth.start()
        outcomes = [record["outcome"] for record in hearth.calls(function="slow")]
        self.assertEqual(len(outcomes), 1)
        self.assertIn(outcomes[0], ("cancelled", "interrupted"))

    def test_the_drain_ends_at_its_limit(self):
        hearth = self.instance("drain_ms_max = 500\n")
        self.slow(hearth)
        call = self.begin(hearth, 50)
        self.assertEqual(hearth.stop(), 0)
        self.assertIn("were killed", hearth.log())
        with self.assertRaises((OSError, http.client.HTTPException)):
            call.result()

    def test_nothing_is_left_behind(self):
        hearth = self.instance()
        self.slow(hearth)
        self.assertEqual(hearth.http("GET", "/fn/default/slow?s=0")[0], 200)
        pids, groups = hearth.sandbox_pids(), hearth.cgroups()
        self.assertTrue(pids)
        self.assertTrue(any(path.name.startswith("s-") for path in groups))
        self.assertEqual(hearth.stop(), 0)
        self.assertEqual([pid for pid in pids if pathlib.Path(f"/proc/{pid}").exists()], [])
        self.assertEqual([path for path in groups if path.exists() and path.name[:2] == "s-"], [])
        self.assertEqual(mounts_with(str(hearth.home)), [])
        self.assertFalse((hearth.run / "hearth.sock").exists() and self.connects(hearth))

    def connects(self, hearth):
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(str(hearth.run / "hearth.sock")) == 0


class Versions(Case):
    @classmethod
    def setUpClass(cls):
        cls.hearth = Instance().start()
        cls.addClassCleanup(cls.hearth.close)

    def live(self, name):
        rows = json.loads(self.hearth.api(
            "GET", f"/v1/tenants/default/functions/{name}/versions")[2])
        self.assertEqual(sum(row["live"] for row in rows), 1)
        return sorted(row["version"] for row in rows), next(
            row["version"] for row in rows if row["live"])

    def test_functions_and_versions_survive_a_restart(self):
        for text in ("one", "two"):
            self.slow(self.hearth, text, "kept")
        self.hearth.cli("rollback", "kept")
        self.assertEqual(self.live("kept"), ([1, 2], 1))
        before = self.hearth.json("describe", "kept")
        self.hearth.restart()
        after = self.hearth.json("describe", "kept")
        for row in (before, after):
            row.pop("sandboxes")
        self.assertEqual(after, before)
        self.assertEqual(self.live("kept"), ([1, 2], 1))
        self.assertEqual(self.hearth.http("GET", "/fn/default/kept?s=0")[2], b'"one"')

    def test_rollback_goes_back_or_to_the_version_asked_for(self):
        for text in ("one", "two", "three"):
            self.slow(self.hearth, text, "rolled")
        answers = lambda: self.hearth.http("GET", "/fn/default/rolled?s=0")[2]
        self.assertEqual(answers(), b'"three"')
        self.hearth.cli("rollback", "rolled")
        self.assertEqual(answers(), b'"two"')
        path = "/v1/tenants/default/functions/rolled/rollback"
        self.assertEqual(self.hearth.api("POST", path, b'{"version": 3}')[0], 200)
        self.assertEqual(answers(), b'"three"')
        self.assertEqual(self.hearth.api("POST", path, b'{"version": 1}')[0], 200)
        # Without a number it is the one that was live before.
        self.assertEqual(self.hearth.api("POST", path)[0], 200)
        self.assertEqual(answers(), b'"three"')
        self.assertEqual(self.hearth.api("POST", path)[0], 200)
        for body, status in ((b'{"version": 9}', 404), (b'{"version": "x"}', 400), (b"[", 400),
                             (b'{"version": 4294967297}', 400), (b'{"version": -1}', 400)):
            self.assertEqual(self.hearth.api("POST", path, body)[0], status, body)
        self.assertEqual(self.live("rolled"), ([1, 2, 3], 1))
        self.assertEqual(answers(), b'"one"')

    def test_the_same_bundle_is_the_same_version(self):
        first = self.slow(self.hearth, "one", "again")
        second = self.slow(self.hearth, "one", "again")
        self.assertEqual((first["version"], first["changed"]), (1, True))
        self.assertEqual((second["version"], second["changed"]), (1, False))
        self.assertEqual(first["hash"], second["hash"])
        path = "/v1/tenants/default/functions/again/rollback"
        status, _, body = self.hearth.api("POST", path)
        self.assertEqual((status, json.loads(body)["error"]["kind"]), (409, "conflict"))

    def test_calls_in_flight_finish_on_the_version_they_began_on(self):
        self.slow(self.hearth, "one", "moving")
        old = self.begin(self.hearth, 2, "moving")
        self.slow(self.hearth, "two", "moving")
        status, new, body = self.hearth.http("GET", "/fn/default/moving?s=0")
        self.assertEqual((status, body), (200, b'"two"'))
        self.assertTrue(old.is_alive(), "the old call had ended before the new one")
        status, headers, body = old.result()
        self.assertEqual((status, body), (200, b'"one"'))
        numbers = [json.loads(self.hearth.api("GET", "/v1/calls/" + h["hearth-call-id"])[2])
                   ["version"] for h in (headers, new)]
        self.assertEqual(numbers, [1, 2])

    def test_no_call_fails_while_versions_change(self):
        self.slow(self.hearth, "0", "busy")
        stop = []

        def call_on():
            answers = []
            while not stop:
                answers.append(self.hearth.http("GET", "/fn/default/busy?s=0.01")[::2])
            return answers

        callers = [Background(call_on) for _ in range(2)]
        for version in range(1, 6):
            self.slow(self.hearth, str(version), "busy")
        stop.append(True)
        answers = [answer for caller in callers for answer in caller.result()]
        self.assertGreater(len(answers), 10)
        self.assertEqual([answer for answer in answers if answer[0] != 200], [])

    def test_delete_waits_for_calls_and_refuses_new_ones_at_once(self):
        self.slow(self.hearth, "one", "gone")
        bundles = set((self.hearth.state / "bundles").iterdir())
        call = self.begin(self.hearth, 2, "gone")
        deletion = Background(self.hearth.cli, "delete", "gone")
        until(lambda: self.hearth.http("GET", "/fn/default/gone")[0] == 404, "it is gone")
        self.assertTrue(deletion.is_alive(), "it did not wait for the call")
        self.assertEqual(call.result()[::2], (200, b'"one"'))
        deletion.result()
        left = bundles & set((self.hearth.state / "bundles").iterdir())
        self.assertEqual(len(bundles - left), 1)
        self.assertEqual(self.hearth.cli("delete", "gone", check=False).returncode, 3)
        self.assertFalse((self.hearth.state / "logs/default/gone").exists())


class Watching(Case):
    @classmethod
    def setUpClass(cls):
        cls.hearth = Instance().start()
        cls.addClassCleanup(cls.hearth.close)
        cls.hearth.shell("watched", 'test "$(cat)" != fail')

    def test_health_and_readiness_answer_by_http(self):
        for path in ("/healthz", "/readyz", "/metrics"):
            self.assertEqual(self.hearth.http("POST", path, b"x")[0], 405)
        for path, text in (("/healthz", b"ok\n"), ("/readyz", b"ready\n")):
            self.assertEqual(self.hearth.http("GET", path)[::2], (200, text))
            self.assertEqual(self.hearth.http("HEAD", path)[::2], (200, b""))

    def status_for(self, group, more):
        """What the management API answers a stranger with these groups."""
        ask = ("import socket, sys\n"
               "client = socket.socket(socket.AF_UNIX)\n"
               "client.connect(sys.argv[1])\n"
               "client.sendall(b'GET /v1/status HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n')\n"
               "print(client.recv(64).split()[1].decode())\n")
        done = subprocess.run(["/usr/bin/python3", "-c", ask, self.hearth.run / "hearth.sock"],
                              user=65533, group=group, extra_groups=more, capture_output=True,
                              text=True, timeout=60)
        return done.stdout.strip() or done.stderr.splitlines()[-1]

    def test_the_management_socket_is_for_the_admin_group(self):
        admins = pwd.getpwnam("hearth").pw_gid
        many = list(range(70000, 70100))
        self.assertEqual(self.status_for(admins, []), "200")
        self.assertEqual(self.status_for(65533, [admins]), "200")
        self.assertEqual(self.status_for(65533, [*many, admins]), "200")
        self.assertIn("Permission denied", self.status_for(65533, many))
        (self.hearth.run / "hearth.sock").chmod(0o666)
        self.assertEqual(self.status_for(65533, many), "403")
        self.assertEqual(self.status_for(65533, []), "403")

    def metrics(self):
        """Every sample by its full name; each must belong to a family that was introduced."""
        status, headers, body = self.hearth.http("GET", "/metrics")
        self.assertEqual((status, headers["content-type"]), (200, "text/plain; version=0.0.4"))
        kinds, samples = {}, {}
        for line in body.decode().splitlines():
            if line.startswith("# TYPE "):
                _, _, family, kind = line.split(" ")
                self.assertNotIn(family, kinds)
                kinds[family] = kind
            elif not line.startswith("# HELP "):
                name, value = line.rsplit(" ", 1)
                family = name.split("{")[0]
                base = family.rsplit("_", 1)[0]
                histogram = kinds.get(base) == "histogram"
                self.assertTrue(family in kinds or histogram, line)
                self.assertNotIn(name, samples)
                samples[name] = float(value)
        return samples

    def test_metrics_parse_and_count(self):
        before = self.metrics()
        self.hearth.http("POST", "/fn/default/watched", b"")
        self.hearth.http("POST", "/fn/default/watched", b"fail")
        self.hearth.http("POST", "/fn/default/nothing", b"")
        after = self.metrics()
        grown = {name: after[name] - before.get(name, 0) for name in after}
        self.assertEqual(grown['hearth_calls_total{outcome="ok"}'], 1)
        self.assertEqual(grown['hearth_calls_total{outcome="function_error"}'], 1)
        self.assertEqual(grown['hearth_calls_refused_total{kind="not_found"}'], 1)
        self.assertEqual(grown["hearth_call_run_seconds_count"], 2)
        self.assertEqual(grown['hearth_call_run_seconds_bucket{le="+Inf"}'], 2)
        self.assertEqual(after["hearth_limits_strict"], 0)
        self.assertEqual(after["hearth_ledger_healthy"], 1)

    def test_status_names_the_weaker_means(self):
        status = self.hearth.json("status")
        self.assertEqual(status["limits"]["mode"], "best-effort")
        self.assertIn("sampled", status["limits"]["memory"])
        self.assertEqual(status["limits"]["reads"], "none: best effort limits no reads")
        self.assertEqual(status["pid"], self.hearth.process.pid)
        self.assertEqual(status["state_dir"], str(self.hearth.state))


if __name__ == "__main__":
    unittest.main()
