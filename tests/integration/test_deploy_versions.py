# SPDX-License-Identifier: Apache-2.0
"""Versions going live, back, and away while calls and other deploys are under way."""

import json
import signal
import socket
import threading
import time
import unittest

from tests.support.instance import Instance, archive, manifest

FUNCTIONS = "/v1/tenants/default/functions"
WAIT_S = 60


def setUpModule():
    global hearth
    hearth = Instance("\n[deploy]\nload_timeout_ms = 60000\n")
    unittest.addModuleCleanup(hearth.close)
    hearth.start()


def wait_until(what, condition):
    until = time.monotonic() + WAIT_S
    while not (found := condition()):
        if time.monotonic() > until:
            raise AssertionError(f"not within {WAIT_S} s: {what}")
        time.sleep(0.02)
    return found


def code(word, before=""):
    return f"{before}\ndef handle(event, context):\n    return {word!r}\n"


def files(name, text, extra="[http]\n"):
    return {"function.toml": manifest(name, "python3", "app.handle", extra), "app.py": text}


def versions(name):
    status, _, body = hearth.api("GET", f"{FUNCTIONS}/{name}/versions")
    return json.loads(body) if status == 200 else []


def live(name):
    return [row["version"] for row in versions(name) if row["live"]]


def leftovers():
    """Uploads, and bundles that belong to no version."""
    rows = json.loads(hearth.api("GET", FUNCTIONS)[2])
    known = {row["hash"] for each in rows for row in versions(each["name"])}
    bundles = {path.name for path in (hearth.state / "bundles").iterdir()}
    return {path.name for path in (hearth.state / "uploads").iterdir()} | bundles - known


class InBackground:
    """Runs fn in a thread; result() waits and hands on what it returned or raised."""

    def __init__(self, fn, *args, **named):
        def run():
            try:
                self.value = fn(*args, **named)
            except BaseException as error:  # handed on to whoever asks
                self.error = error
        self.value = self.error = None
        self.thread = threading.Thread(target=run)
        self.thread.start()

    def result(self):
        self.thread.join(120)
        assert not self.thread.is_alive()
        if self.error:
            raise self.error
        return self.value


class Case(unittest.TestCase):
    def tearDown(self):
        for row in json.loads(hearth.api("GET", FUNCTIONS)[2]):
            hearth.cli("delete", row["name"])
        self.assertEqual(leftovers(), set())
        self.assertEqual(list((hearth.state / "bundles").iterdir()), [])

    def say(self, name="f"):
        status, _, body = hearth.http("GET", f"/fn/default/{name}")
        self.assertEqual(status, 200, body)
        return json.loads(body)


class Versions(Case):
    def test_versions_go_live_back_and_forth(self):
        numbers = [hearth.python("f", code(word))["version"] for word in ("one", "two", "three")]
        self.assertEqual(numbers, sorted(set(numbers)))
        self.assertEqual((self.say(), live("f")), ("three", [numbers[2]]))
        hearth.cli("rollback", "f")
        self.assertEqual((self.say(), live("f")), ("two", [numbers[1]]))
        hearth.cli("rollback", "f", "--to", numbers[0])
        self.assertEqual((self.say(), live("f")), ("one", [numbers[0]]))
        hearth.cli("rollback", "f")  # back to what was live before
        self.assertEqual(self.say(), "two")
        again = hearth.python("f", code("one"))  # an old content is a new version
        self.assertEqual((self.say(), again["changed"]), ("one", True))
        self.assertEqual(len(versions("f")), 4)
        hearth.restart()
        self.assertEqual((self.say(), len(versions("f"))), ("one", 4))

    def test_a_rollback_that_cannot_be_is_refused(self):
        hearth.python("f", code("one"))
        for body, status, kind in ((b"", 409, "conflict"), (b"{}", 409, "conflict"),
                                   (b'{"version": 99}', 404, "not_found"),
                                   (b'{"version": "1"}', 400, "bad_request"),
                                   (b'{"version": -1}', 400, "bad_request"),
                                   (b'{"version": 4294967297}', 400, "bad_request"),
                                   (b"[1]", 400, "bad_request"), (b"{", 400, "bad_request")):
            with self.subTest(body=body):
                got, _, answer = hearth.api("POST", f"{FUNCTIONS}/f/rollback", body)
                self.assertEqual((got, json.loads(answer)["error"]["kind"]), (status, kind))
        got, _, answer = hearth.api("POST", f"{FUNCTIONS}/nosuch/rollback", b"")
        self.assertEqual(got, 404, answer)
        self.assertEqual(self.say(), "one")

    def test_a_version_that_was_never_live_is_no_place_to_go_back_to(self):
        first = hearth.python("f", code("one"))["version"]
        hearth.deploy(files("f", "raise ValueError\n"))
        self.assertEqual(hearth.api("POST", f"{FUNCTIONS}/f/rollback", b"")[0], 409)
        self.assertEqual((self.say(), live("f"), len(versions("f"))), ("one", [first], 1))

    def test_a_call_in_flight_finishes_on_its_version(self):
        hearth.python("f", "import time\n" + code("old").replace(
            "return", "time.sleep(2)\n    return"))
        call = InBackground(self.say)
        wait_until("it runs", lambda: status()["sandboxes"]["running"] == 1)
        hearth.python("f", code("new"))
        self.assertEqual(self.say(), "new")
        self.assertEqual(call.result(), "old")

    def test_deletion_waits_for_calls_in_flight_and_refuses_new_ones(self):
        hearth.python("f", "import time\n" + code("done").replace(
            "return", "time.sleep(2)\n    return"))
        call = InBackground(self.say)
        wait_until("it runs", lambda: status()["sandboxes"]["running"] == 1)
        deletion = InBackground(hearth.cli, "delete", "f")
        wait_until("refused", lambda: hearth.http("GET", "/fn/default/f")[0] == 404)
        self.assertEqual(call.result(), "done")
        deletion.result()
        self.assertEqual((versions("f"), leftovers()), ([], set()))
        self.assertEqual(list((hearth.state / "bundles").iterdir()), [])
        self.assertEqual(hearth.api("DELETE", f"{FUNCTIONS}/f")[0], 404)
        self.assertEqual(hearth.cli("logs", "f", check=False).returncode, 3)

    def test_records_stay_when_their_function_is_gone(self):
        hearth.python("gone", code("x"))
        self.say("gone")
        hearth.cli("delete", "gone")
        self.assertEqual([row["outcome"] for row in hearth.calls(function="gone")], ["ok"])


def status():
    return json.loads(hearth.api("GET", "/v1/status")[2])


class Together(Case):
    def test_deploys_while_calls_run_fail_no_call(self):
        hearth.python("f", code("0"), "concurrency_max = 4\nmemory_mb = 64\n[http]\n")
        stop, seen = threading.Event(), [[] for _ in range(3)]

        def keep_calling(words):
            while not stop.is_set():
                words.append(int(self.say()))

        callers = [InBackground(keep_calling, words) for words in seen]
        try:
            for i in range(1, 7):
                hearth.python("f", code(str(i)), "concurrency_max = 4\nmemory_mb = 64\n[http]\n")
                self.assertEqual(self.say(), str(i))  # live when the deploy is answered
        finally:
            stop.set()
        for caller in callers:
            caller.result()
        for words in seen:
            self.assertEqual(words, sorted(words))
            self.assertGreater(len(words), 5)
        outcomes = {row["outcome"] for row in hearth.calls(function="f", limit=10000)}
        self.assertEqual(outcomes, {"ok"})

    def test_two_deploys_of_one_name_at_once_are_two_whole_versions(self):
        for same in (False, True):
            with self.subTest(same=same):
                slow = "import time; time.sleep(0.5)"
                runs = [InBackground(hearth.deploy, files("f", code(word, slow)))
                        for word in (("a", "a") if same else ("a", "b"))]
                answers = [run.result() for run in runs]
                self.assertEqual([got for got, _ in answers], [201, 201], answers)
                numbers = {answer["version"] for _, answer in answers}
                self.assertEqual(len(numbers), 2)
                self.assertEqual({row["version"] for row in versions("f")}, numbers)
                word = self.say()
                self.assertIn(word, "ab")
                self.assertEqual(len(live("f")), 1)
                hearth.cli("delete", "f")
                self.assertEqual(leftovers(), set())

    def test_two_bad_deploys_at_once_are_both_refused(self):
        bad = files("f", "import time; time.sleep(0.3); raise ValueError('no')\n")
        for got, answer in [run.result() for run in
                            [InBackground(hearth.deploy, bad) for _ in range(4)]]:
            self.assertEqual((got, answer["error"]["kind"]), (400, "load_error"))
        self.assertEqual((versions("f"), leftovers()), ([], set()))

    def test_tenants_share_a_bundle_until_the_last_lets_go(self):
        hearth.cli("tenant", "create", "other")
        self.addCleanup(hearth.cli, "tenant", "delete", "other")
        self.assertEqual(hearth.deploy(files("f", code("one")))[0], 201)
        self.assertEqual(hearth.deploy(files("f", code("one")), tenant="other")[0], 201)
        self.assertEqual(len(list((hearth.state / "bundles").iterdir())), 1)
        hearth.cli("--tenant", "other", "delete", "f")
        hearth.restart()
        self.assertEqual(self.say(), "one")

    def test_deletion_during_a_deploy_refuses_the_deploy(self):
        hearth.python("f", code("one"))
        deploy = InBackground(hearth.deploy, files("f", code("two", "import time; time.sleep(2)")))
        wait_until("the trial", lambda: len(versions("f")) == 2)
        hearth.cli("delete", "f")
        got, answer = deploy.result()
        self.assertEqual((got, answer["error"]["kind"]), (409, "conflict"), answer)
        self.assertEqual((versions("f"), leftovers()), ([], set()))
        self.assertEqual(hearth.http("GET", "/healthz")[0], 200)

    def test_rollback_during_a_deploy_leaves_the_deploy_to_go_live(self):
        hearth.python("f", code("one"))
        hearth.python("f", code("two"))
        slow = code("three", "import time; time.sleep(2)")
        deploy = InBackground(hearth.deploy, files("f", slow))
        wait_until("the trial", lambda: len(versions("f")) == 3)
        hearth.cli("rollback", "f")
        self.assertEqual(self.say(), "one")
        self.assertEqual(deploy.result()[0], 201)
        self.assertEqual(self.say(), "three")


class Interrupted(Case):
    """A deploy that nobody waits for any more, or whose daemon is killed."""

    def post(self, data, claimed=None):
        client = socket.socket(socket.AF_UNIX)
        self.addCleanup(client.close)
        client.connect(str(hearth.run / "hearth.sock"))
        client.sendall(f"POST {FUNCTIONS} HTTP/1.1\r\nHost: h\r\nContent-Length: "
                       f"{claimed or len(data)}\r\n\r\n".encode() + data)
        return client

    def slow(self):
        return archive(files("f", code("new", "import time; time.sleep(30)")))

    def test_a_client_that_leaves_during_the_trial_leaves_nothing(self):
        hearth.python("f", code("old"))
        client = self.post(self.slow())
        wait_until("the trial", lambda: len(versions("f")) == 2)
        client.close()
        wait_until("the version is gone", lambda: len(versions("f")) == 1)
        wait_until("the bundle is gone", lambda: not leftovers())
        self.assertEqual(self.say(), "old")

    def test_a_client_that_leaves_while_it_is_unpacked_leaves_nothing(self):
        # Its trial lasts longer than any of these clients stays: a deploy that was fast enough
        # would rightly be there.
        slow = code("new", "import time; time.sleep(30)")
        many = archive({**files("f", slow), **{f"d{i}/f": b"x" for i in range(1000)}})
        for delay in (0, 0.02, 0.05, 0.1, 0.2, 0.4):
            client = self.post(many)
            time.sleep(delay)
            client.close()
            begin = time.monotonic()  # throwing away so much does not keep others waiting
            self.assertEqual(hearth.http("GET", "/healthz")[0], 200)
            self.assertLess(time.monotonic() - begin, 2)
        wait_until("all is gone", lambda: not leftovers() and not versions("f"))
        wait_until("the trash is out", lambda: not list((hearth.state / "trash").iterdir()))
        self.assertEqual(hearth.deploy(files("f", code("x")))[0], 201)

    def kill_and_restart(self):
        hearth.restart(signal.SIGKILL)
        self.assertEqual(leftovers(), set())
        self.assertEqual([row["live"] for row in versions("f")], [True])
        self.assertEqual(self.say(), "old")

    def test_kill_9_during_the_upload_leaves_nothing(self):
        hearth.python("f", code("old"))
        self.post(self.slow(), claimed=5_000_000)
        wait_until("the upload", lambda: list((hearth.state / "uploads").iterdir()))
        self.kill_and_restart()

    def test_kill_9_while_it_is_unpacked_leaves_nothing(self):
        hearth.python("f", code("old"))
        self.post(archive({**files("f", code("new")), **{f"d{i}/f": b"x" for i in range(3000)}}))
        wait_until("unpacking", lambda: [path for path in (hearth.state / "uploads").iterdir()
                                         if path.is_dir()])
        self.kill_and_restart()

    def test_kill_9_during_the_trial_leaves_nothing(self):
        hearth.python("f", code("old"))
        self.post(self.slow())
        wait_until("the trial", lambda: len(versions("f")) == 2)
        wait_until("its code runs", hearth.sandbox_pids)
        self.kill_and_restart()


if __name__ == "__main__":
    unittest.main()
