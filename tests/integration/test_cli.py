# SPDX-License-Identifier: Apache-2.0
"""Every command of hearth against a real hearthd: output, JSON, exit status."""

import datetime
import json
import os
import pathlib
import queue
import subprocess
import threading
import time
import unittest

from tests.support.instance import STAGE, Instance

HEARTH = STAGE / "bin/hearth"
ECHO = "def handle(event, context):\n    print('called', event.get('n'))\n    return event\n"
BAD = """
import os, time
def handle(event, context):
    match event["do"]:
        case "raise": raise ValueError("on purpose")
        case "crash": os.abort()
        case "sleep": time.sleep(60)
        case "exit": os._exit(3)
        case "object": return object()
"""


def setUpModule():
    global hearth
    hearth = Instance()
    unittest.addModuleCleanup(hearth.close)
    hearth.start()
    hearth.python("echo", ECHO)
    hearth.python("bad", BAD, "timeout_ms = 500\n")
    hearth.shell("cat", "cat")


class Case(unittest.TestCase):
    def cli(self, *args, status=0, data=None):
        """Standard output, and what stderr says, of a command that ends with `status`."""
        done = hearth.cli(*args, data=data, check=False)
        said = done.stderr.decode()
        self.assertEqual(done.returncode, status, said)
        if status:
            self.assertTrue(said.splitlines()[0].startswith("error: ") or "--meter" in args, said)
        return done.stdout, said

    def text(self, *args):
        return self.cli(*args)[0].decode()


class Invoking(Case):
    def test_the_event_comes_from_the_command_line_a_file_or_stdin(self):
        self.assertEqual(self.cli("invoke", "echo", "--data", '{"n": 1}')[0], b'{"n": 1}')
        self.assertEqual(self.cli("invoke", "echo")[0], b"{}")
        path = hearth.home / "event.json"
        path.write_text('{"n": "é"}', encoding="utf-8")
        self.assertEqual(json.loads(self.cli("invoke", "echo", "-d", f"@{path}")[0]), {"n": "é"})
        self.assertEqual(self.cli("invoke", "echo", "--data", "-", data=b"[3]", status=1)[0], b"")
        self.assertEqual(self.cli("invoke", "echo", "--data", "-", data=b'{"n": 3}')[0],
                         b'{"n": 3}')

    def test_binary_passes_byte_for_byte(self):
        binary = bytes(range(256)) * 1000 + b"\r\n\0"
        path = hearth.home / "binary"
        path.write_bytes(binary)
        self.assertEqual(self.cli("invoke", "cat", "--data", "-", data=binary)[0], binary)
        self.assertEqual(self.cli("invoke", "cat", "--data", f"@{path}")[0], binary)
        self.assertEqual(self.cli("invoke", "cat", "--data", "@/dev/null")[0], b"")

    def test_stdin_may_be_a_file_read_halfway(self):
        path = hearth.home / "lines"
        path.write_bytes(b"first\nsecond\n")
        with open(path, "rb", buffering=0) as file:
            file.read(6)
            done = subprocess.run([HEARTH, "--socket", hearth.run / "hearth.sock", "invoke", "cat",
                                   "--data", "-"], stdin=file, capture_output=True, check=True)
        self.assertEqual(done.stdout, b"second\n")

    def test_meter_writes_the_record_to_stderr_also_of_failures(self):
        for name, event, status, outcome in (("echo", "{}", 0, "ok"),
                                             ("bad", '{"do": "raise"}', 1, "function_error"),
                                             ("bad", '{"do": "sleep"}', 4, "timeout")):
            _, said = self.cli("invoke", name, "--meter", "--data", event, status=status)
            records = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
            self.assertEqual([record["outcome"] for record in records], [outcome])
            self.assertEqual(records[0], json.loads(self.text("--json", "call", records[0]["id"])))

    def test_exit_statuses_tell_the_kind_of_failure(self):
        for event, status, words in (('{"do": "raise"}', 1, ["function_error", "ValueError",
                                                             "on purpose", "app.py"]),
                                     ('{"do": "crash"}', 1, ["crashed"]),
                                     ('{"do": "exit"}', 1, ["crashed", "3"]),
                                     ('{"do": "object"}', 1, ["bad_reply"]),
                                     ('{"do": "sleep"}', 4, ["timeout", "timeout_ms", "500"]),
                                     ('{"do"', 3, ["bad_request", "JSON"])):
            with self.subTest(event=event):
                out, said = self.cli("invoke", "bad", "--data", event, status=status)
                self.assertEqual(out, b"")
                for word in words:
                    self.assertIn(word, said)
        self.assertIn("nosuch", self.cli("invoke", "nosuch", status=3)[1])
        self.assertIn("nobody", self.cli("--tenant", "nobody", "invoke", "echo", status=3)[1])

    def test_wrong_usage_is_2_and_says_what_is_right(self):
        for args, word in ((["invoke"], "FUNCTION"), (["frobnicate"], "frobnicate"), ([], ""),
                           (["invoke", "echo", "--dta", "x"], "--dta"),
                           (["invoke", "echo", "--data"], "--data"),
                           (["invoke", "echo", "--data", "@/nonexistent"], "/nonexistent"),
                           (["calls", "--limit", "x"], "--limit"),
                           (["calls", "--limit", "0"], "--limit"),
                           (["calls", "--since", "yesterday"], "--since"),
                           (["rollback", "echo", "--to", "0"], "--to"),
                           (["completions", "tcsh"], "tcsh"), (["tenant"], "")):
            with self.subTest(args=args):
                out, said = self.cli(*args, status=2)
                self.assertEqual(out, b"")
                self.assertIn(word, said)

    def test_a_daemon_that_is_down_is_3_and_named(self):
        for socket in ("/nonexistent/hearth.sock", hearth.home / "hearth.toml"):
            done = subprocess.run([HEARTH, "--socket", socket, "status"], capture_output=True,
                                  check=False)
            self.assertEqual(done.returncode, 3)
            said = done.stderr.decode()
            self.assertTrue(said.startswith(f"error: cannot reach hearthd at '{socket}'"), said)
            self.assertEqual(len(said.splitlines()), 1)

    def test_the_socket_is_taken_from_the_environment(self):
        env = dict(os.environ, HEARTH_SOCKET=str(hearth.run / "hearth.sock"))
        done = subprocess.run([HEARTH, "list"], env=env, capture_output=True, check=True)
        self.assertIn(b"echo", done.stdout)

    def test_a_reader_that_leaves_is_no_failure(self):
        done = subprocess.run(
            ["sh", "-c", '"$0" --socket "$1" --json calls | head -c 1', HEARTH,
             hearth.run / "hearth.sock"], capture_output=True, check=True)
        self.assertEqual((done.stdout, done.stderr), (b"[", b""))


class Lists(Case):
    def table(self, *args):
        """[{column: cell}] of a table whose columns are at least two spaces apart."""
        lines = self.text(*args).splitlines()
        heads = [head for head in lines[0].split("  ") if head]
        return heads, lines[1:]

    def test_functions_are_listed_and_described(self):
        rows = json.loads(self.text("--json", "list"))
        self.assertEqual([row["name"] for row in rows], sorted(row["name"] for row in rows))
        echo = next(row for row in rows if row["name"] == "echo")
        self.assertEqual((echo["runtime"], echo["memory_mb"]), ("python3", 128))
        _, lines = self.table("list")
        self.assertEqual([line.split()[0] for line in lines], [row["name"] for row in rows])
        described = json.loads(self.text("--json", "describe", "echo"))
        self.assertEqual((described["handler"], described["http"]["path"]),
                         ("app.handle", "/fn/default/echo"))
        self.assertRegex(self.text("describe", "echo"), r"memory_mb +128 MiB")
        versions = json.loads(self.text("--json", "versions", "echo"))
        self.assertEqual([row["live"] for row in versions], [True])
        self.assertIn(versions[0]["hash"][:12], self.text("versions", "echo"))
        for command in ("describe", "versions", "rollback", "delete", "logs"):
            self.assertIn("nosuch", self.cli(command, "nosuch", status=3)[1])

    def test_calls_are_filtered(self):
        for n in range(3):
            self.cli("invoke", "echo", "--data", f'{{"n": {n}}}')
        self.cli("invoke", "bad", "--data", '{"do": "raise"}', status=1)
        rows = json.loads(self.text("--json", "calls", "--limit", "1000"))
        ids = [row["id"] for row in rows]
        self.assertEqual(ids, sorted(ids, reverse=True))
        self.assertEqual(len(json.loads(self.text("--json", "calls", "--limit", "2"))), 2)
        rows = json.loads(self.text("--json", "calls", "bad", "--outcome", "function_error"))
        self.assertEqual({(row["function"], row["outcome"]) for row in rows},
                         {("bad", "function_error")})
        said = self.cli("calls", "--outcome", "time_out", status=3)[1]
        self.assertIn("no call ends as 'time_out', only as ok, function_error,", said)
        self.assertEqual(json.loads(self.text("--json", "calls", "nosuch")), [])
        self.assertGreaterEqual(len(json.loads(self.text("--json", "calls", "--since", "1h"))), 3)
        tomorrow = (datetime.datetime.now(datetime.timezone.utc)
                    + datetime.timedelta(days=1)).strftime("%Y-%m-%d")
        self.assertEqual(json.loads(self.text("--json", "calls", "--since", tomorrow)), [])
        _, lines = self.table("calls", "echo", "--limit", "3")
        self.assertEqual(len(lines), 3)
        self.assertTrue(all("ok" in line for line in lines))

    def test_one_call_is_shown(self):
        record = json.loads(self.text("--json", "calls", "--limit", "1"))[0]
        self.assertEqual(json.loads(self.text("--json", "call", record["id"])), record)
        self.assertIn(record["id"], self.text("call", record["id"]))
        self.cli("call", "0" * 26, status=3)
        self.cli("call", "no-id", status=3)

    def test_usage_is_per_day_and_function(self):
        self.cli("invoke", "echo")
        rows = json.loads(self.text("--json", "usage", "--function", "echo"))
        self.assertEqual({(row["tenant"], row["function"]) for row in rows}, {("default", "echo")})
        count = sum(row["calls"] for row in rows)
        self.cli("invoke", "echo")
        again = json.loads(self.text("--json", "usage", "--function", "echo"))
        self.assertEqual(sum(row["calls"] for row in again), count + 1)
        self.assertIn("echo", self.text("usage"))
        self.assertEqual(json.loads(self.text("--json", "usage", "--until", "2001-01-01")), [])

    def test_status_top_and_doctor_run(self):
        status = json.loads(self.text("--json", "status"))
        self.assertEqual((status["pid"], status["limits"]["mode"]),
                         (hearth.process.pid, "best-effort"))
        self.assertIn("best-effort", self.text("status"))
        self.assertIn("echo", self.text("top"))
        self.assertTrue(json.loads(self.text("--json", "top"))["functions"])
        done = hearth.cli("--json", "doctor", check=False)
        found = json.loads(done.stdout)
        self.assertEqual(done.returncode, 0 if found["ok"] else 3)
        self.assertGreater(len(found["checks"]), 15)
        for check in found["checks"]:
            if check["level"] != "ok":
                self.assertTrue(check["why"] and check["fix"], check)

    def test_images_are_listed(self):
        rows = json.loads(self.text("--json", "image", "list"))
        self.assertEqual([(row["name"], row["in_use"]) for row in rows], [("host", True)])
        self.cli("image", "delete", "nosuch", status=3)
        self.assertIn("/usr", self.cli("image", "delete", "host", status=2)[1])
        self.assertEqual(hearth.api("DELETE", "/v1/images/host")[0], 409)  # it is in use

    def test_completions_are_scripts_that_their_shell_takes(self):
        script = self.text("completions", "bash")
        subprocess.run(["bash", "-n"], input=script.encode(), check=True)
        for command in ("deploy", "invoke", "rollback", "tenant"):
            for shell in ("bash", "zsh", "fish"):
                self.assertIn(command, self.text("completions", shell))
        self.assertLessEqual({"echo", "cat", "bad"},
                             set(self.text("completions", "functions").split()))
        self.assertIn("default", self.text("completions", "tenants").split())

    def test_help_and_version_are_answers(self):
        self.assertIn("Usage:", self.text("--help"))
        self.assertIn("--data", self.text("invoke", "--help"))
        self.assertEqual(self.text("--version").split()[-1],
                         json.loads(self.text("--json", "status"))["version"])


class Logs(Case):
    def test_logs_of_one_call_are_found(self):
        done, record = hearth.invoke("echo", b'{"n": "needle"}')
        entries = json.loads(self.text("--json", "logs", "echo", "--call", record["id"]))
        self.assertEqual([entry["text"].strip() for entry in entries], ["called needle"])
        self.assertIn("called needle", self.text("logs", "echo", "--call", record["id"]))
        self.assertEqual(json.loads(self.text("--json", "logs", "echo", "--limit", "1"))[0]["call"],
                         record["id"])

    def test_follow_shows_what_comes(self):
        hearth.python("chatty", ECHO)
        self.cli("invoke", "chatty", "--data", '{"n": "before"}')
        process = subprocess.Popen(
            [HEARTH, "--socket", hearth.run / "hearth.sock", "--json", "logs", "--follow",
             "chatty"], stdout=subprocess.PIPE)
        lines = queue.Queue()
        reader = threading.Thread(target=lambda: [lines.put(line) for line in process.stdout])
        reader.start()
        try:
            self.assertIn("before", json.loads(lines.get(timeout=30))["text"])
            self.cli("invoke", "chatty", "--data", '{"n": "after"}')
            self.assertIn("after", json.loads(lines.get(timeout=30))["text"])
            self.assertIsNone(process.poll())
        finally:
            process.terminate()
            process.wait()
            reader.join()
            process.stdout.close()

    def test_control_characters_do_not_reach_the_terminal(self):
        hearth.shell("painter", r"printf '\033[31mred\007\n' >&2")
        self.cli("invoke", "painter")
        text = self.text("logs", "painter")
        self.assertIn("red", text)
        self.assertNotIn("\033", text)
        self.assertNotIn("\007", text)


class Tenants(Case):
    def test_tenants_are_made_listed_and_deleted(self):
        self.assertEqual(self.text("tenant", "create", "acme", "--concurrency-max", "3"),
                         "created tenant acme\n")
        self.assertIn("acme", self.cli("tenant", "create", "acme", status=3)[1])
        rows = json.loads(self.text("--json", "tenant", "list"))
        self.assertEqual({row["name"]: row["concurrency_max"] for row in rows}["acme"], 3)
        self.assertIn("acme", self.text("tenant", "list"))
        for name in ("A", "", "a/b", "x" * 64, "é"):
            self.assertNotEqual(hearth.cli("tenant", "create", name, check=False).returncode, 0)
        self.assertEqual(self.text("tenant", "delete", "acme"), "deleted tenant acme\n")
        self.cli("tenant", "delete", "acme", status=3)
        self.assertNotIn("acme", self.text("tenant", "list"))

    def test_a_tenant_with_functions_stays(self):
        self.cli("tenant", "create", "busy")
        hearth.shell("one", "cat", tenant="busy")
        self.assertIn("functions", self.cli("tenant", "delete", "busy", status=3)[1])
        self.cli("--tenant", "busy", "delete", "one")
        self.cli("tenant", "delete", "busy")

    def test_tenants_see_nothing_of_each_other(self):
        self.cli("tenant", "create", "beta")
        hearth.shell("cat", "echo beta", tenant="beta")
        self.assertEqual(self.cli("--tenant", "beta", "invoke", "cat")[0], b"beta\n")
        self.assertEqual(self.cli("invoke", "cat", "--data", "mine")[0], b"mine")
        self.assertEqual([row["name"] for row in json.loads(self.text(
            "--tenant", "beta", "--json", "list"))], ["cat"])
        self.cli("--tenant", "beta", "invoke", "echo", status=3)
        self.assertEqual({row["tenant"] for row in json.loads(self.text(
            "--tenant", "beta", "--json", "calls"))}, {"beta"})
        self.assertNotIn("beta", {row["tenant"] for row in json.loads(self.text(
            "--json", "calls", "--limit", "1000"))})
        self.assertEqual(hearth.http("GET", "/fn/beta/cat")[2], b"beta\n")
        self.cli("--tenant", "beta", "delete", "cat")
        self.cli("invoke", "cat")
        self.cli("tenant", "delete", "beta")

    def test_a_tenants_concurrency_bounds_its_calls_together(self):
        self.cli("tenant", "create", "narrow", "--concurrency-max", "1")
        for name in ("a", "b"):
            hearth.shell(name, "cat >/dev/null; sleep 0.5", tenant="narrow")
        results = []
        threads = [threading.Thread(target=lambda n=name: results.append(
            hearth.invoke(n, tenant="narrow")[1])) for name in ("a", "b", "a")]
        begin = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertGreaterEqual(time.monotonic() - begin, 1.4)
        self.assertEqual([record["outcome"] for record in results], ["ok"] * 3)
        for name in ("a", "b"):
            self.cli("--tenant", "narrow", "delete", name)
        self.cli("tenant", "delete", "narrow")


class Lifecycle(Case):
    def test_deploy_rollback_delete_by_their_words(self):
        folder = hearth.home / "life"
        folder.mkdir()
        (folder / "function.toml").write_text(
            'name = "life"\nruntime = "exec"\nhandler = "run"\n')
        run = folder / "run"
        for word in ("one", "two"):
            run.write_text(f"#!/bin/sh\necho {word}\n")
            run.chmod(0o755)
            said = self.text("deploy", folder)
            self.assertRegex(said, r"^deployed life version \d+ \(exec, [0-9a-f]{12}\)\n$")
        self.assertEqual(self.cli("invoke", "life")[0], b"two\n")
        self.assertRegex(self.text("rollback", "life"), r"^life is back at version 1\n$")
        self.assertEqual(self.cli("invoke", "life")[0], b"one\n")
        self.assertIn("99", self.cli("rollback", "life", "--to", "99", status=3)[1])
        deployed = json.loads(self.text("--json", "deploy", folder))
        self.assertEqual((deployed["name"], deployed["changed"]), ("life", True))
        self.assertEqual(self.text("delete", "life"), "deleted life\n")
        self.cli("invoke", "life", status=3)

    def test_a_name_with_a_slash_reaches_no_other_resource(self):
        for name in ("../echo", "echo/versions", "..", "echo?x=1", "%2e%2e", "a b", "échoué"):
            with self.subTest(name=name):
                self.cli("describe", name, status=3)
                self.cli("delete", name, status=3)
        self.assertIn("echo", self.text("list"))


if __name__ == "__main__":
    unittest.main()
