# SPDX-License-Identifier: Apache-2.0
"""What a call inherits from the one before: nothing, unless the function's owner asks for it."""

import json
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from instance import Instance
from waiting import until

# Each call tells what it finds, then leaves something behind in every place it knows.
PYTHON = """
import os, random, secrets, subprocess, time, uuid
seen = 0
at_import = random.random()

def sleepers():
    found = 0
    for pid in os.listdir("/proc"):
        try: found += open(f"/proc/{pid}/cmdline", "rb").read().startswith(b"sleep")
        except OSError: pass
    return found

def handle(event, context):
    global seen
    seen += 1
    found = {"seen": seen, "tmp": sorted(os.listdir("/tmp")), "shm": sorted(os.listdir("/dev/shm")),
             "left": os.environ.get("LEFT"), "sleepers": sleepers(), "cwd": os.getcwd(),
             "umask": os.umask(0o22), "descriptors": len(os.listdir("/proc/self/fd")),
             "random": random.random(), "uuid": str(uuid.uuid4()), "token": secrets.token_hex(8),
             "born": subprocess.check_output(["stat", "-c", "%.W", "/tmp"]).decode()}
    for folder in ("/tmp", "/dev/shm"):
        open(folder + "/left", "w").write("secret")
        os.makedirs(folder + "/deep/er", mode=0o700)
        os.chmod(folder + "/deep", 0)
    os.environ["LEFT"] = "secret"
    os.chdir("/tmp")
    os.umask(0o777)
    os.open("/dev/null", os.O_RDONLY)
    subprocess.Popen(["sleep", "4242"], start_new_session=True)
    for _ in range(500):  # its command line is there a moment after exec returns
        found["sleepers_after"] = sleepers()
        if found["sleepers_after"]: break
        time.sleep(0.01)
    os.umask(0o22)
    return found
"""
NODE = """
import fs from "node:fs";
import crypto from "node:crypto";
import {spawn, execFileSync} from "node:child_process";
let seen = 0;
export const handle = async () => {
  const found = {seen: ++seen, tmp: fs.readdirSync("/tmp"), shm: fs.readdirSync("/dev/shm"),
                 left: process.env.LEFT ?? null, uuid: crypto.randomUUID(), random: Math.random(),
                 born: execFileSync("stat", ["-c", "%.W", "/tmp"]).toString()};
  fs.writeFileSync("/tmp/left", "secret");
  fs.writeFileSync("/dev/shm/left", "secret");
  process.env.LEFT = "secret";
  spawn("sleep", ["4242"], {detached: true, stdio: "ignore"}).unref();
  return found;
};
"""
SHELL = """
cat > /dev/null  # waits for its call
printf '{"tmp": "%s", "shm": "%s", "born": "%s"}' "$(ls /tmp)" "$(ls /dev/shm)" \
  "$(stat -c %.W /tmp)"
echo secret > /tmp/left
echo secret > /dev/shm/left
setsid sleep 4242 > /dev/null 2>&1 &
"""
ONE_AT_A_TIME = "concurrency_max = 1\ntimeout_ms = 20000\n[http]\n"
FRESH = ("random", "uuid", "token")


class Reuse(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.hearth = Instance().start()
        cls.addClassCleanup(cls.hearth.close)

    def section(self, reuse):
        return f'reuse = "{reuse}"\n' + ONE_AT_A_TIME

    def findings(self, name, calls=3):
        found = []
        for _ in range(calls):
            status, headers, body = self.hearth.http("GET", f"/fn/default/{name}")
            self.assertEqual(status, 200, body)
            found.append(dict(json.loads(body), start=headers["hearth-start"]))
        return found

    def check_nothing_inherited(self, found):
        for one in found:
            self.assertIn(one["tmp"], ([], ""))
            self.assertIn(one["shm"], ([], ""))
            self.assertIsNone(one.get("left"))
            self.assertEqual(one.get("seen", 1), 1)
            self.assertEqual(one.get("sleepers", 0), 0)
        for name in ("cwd", "umask"):
            self.assertEqual(len({one.get(name) for one in found}), 1, name)
        self.check_fresh(found)

    def check_fresh(self, found):
        for name in FRESH:
            values = [one[name] for one in found if name in one]
            self.assertEqual(len(set(values)), len(values), name)

    def check_births(self, found, sandboxes):
        births = [one["born"].strip() for one in found]
        self.assertGreater(float(births[0]), 0, "this kernel tells no birth time of /tmp")
        self.assertEqual(len(set(births)), sandboxes)

    def functions(self, reuse):
        self.hearth.python(f"py-{reuse}", PYTHON, self.section(reuse))
        self.hearth.function(f"js-{reuse}", "nodejs", "app.handle", {"app.mjs": NODE},
                             self.section(reuse))

    def test_with_sandbox_each_call_is_a_fresh_process_in_a_scrubbed_sandbox(self):
        self.functions("sandbox")
        self.hearth.shell("sh-sandbox", SHELL, self.section("sandbox"))
        for name in ("py-sandbox", "js-sandbox", "sh-sandbox"):
            with self.subTest(name):
                found = self.findings(name)
                self.check_nothing_inherited(found)
                self.check_births(found, 1)
                self.assertEqual(len({one.get("descriptors") for one in found}), 1)
                self.assertEqual([one["start"] for one in found[1:]], ["warm", "warm"])
                if "sleepers" in found[0]:
                    self.assertEqual(found[0]["sleepers_after"], 1, "the probe sees no process")

    def test_with_never_each_call_has_a_sandbox_of_its_own(self):
        self.functions("never")
        self.hearth.shell("sh-never", SHELL, self.section("never"))
        for name in ("py-never", "js-never", "sh-never"):
            with self.subTest(name):
                found = self.findings(name)
                self.check_nothing_inherited(found)
                self.check_births(found, 3)

    def test_with_process_the_same_loaded_process_serves_on(self):
        self.functions("process")
        for name in ("py-process", "js-process"):
            with self.subTest(name):
                first, second, third = self.findings_of_process(name)
                self.assertEqual([one["seen"] for one in (first, second, third)], [1, 2, 3])
                self.assertEqual((first["tmp"], first["left"]), ([], None))
                self.assertIn("left", third["tmp"])
                self.assertEqual(third["left"], "secret")
                self.check_births((first, second, third), 1)
                self.check_fresh((first, second, third))

    def findings_of_process(self, name):
        """The python handler cannot make its folders twice: files are enough here."""
        if name.startswith("py"):
            self.hearth.python(name, PYTHON.replace("os.makedirs", "str").replace(
                "os.chmod(folder", "str(folder").replace(', mode=0o700', "").replace(
                '+ "/deep", 0)', "+ '')"), self.section("process"))
        return self.findings(name)

    def test_after_a_failed_call_nothing_is_inherited_either(self):
        self.hearth.python("failing", PYTHON.replace("    os.umask(0o22)\n    return found",
                           "    raise Exception(found)"), self.section("sandbox"))
        stacks = []
        for _ in range(3):
            status, _, body = self.hearth.http("GET", "/fn/default/failing")
            self.assertEqual(status, 502)
            stacks.append(json.loads(body)["error"]["message"])
        for message in stacks:
            self.assertIn("'seen': 1", message)
            self.assertIn("'tmp': []", message)
            self.assertIn("'sleepers': 0,", message)

    def test_leftover_processes_end_with_their_call(self):
        script = "cat > /dev/null\nsetsid sleep 31337 > /dev/null 2>&1 &\necho done"
        self.hearth.shell("leaves", script, self.section("sandbox"))
        self.assertEqual(self.hearth.http("GET", "/fn/default/leaves")[2], b"done\n")

        def sleepers():
            found = 0
            for pid in self.hearth.sandbox_pids():
                try:
                    found += b"31337" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
                except OSError:
                    pass
            return found

        until(lambda: sleepers() == 0, "the background process is gone")

    def test_starts_are_told_apart(self):
        self.hearth.cli("tenant", "create", "starts")
        code = "def handle(event, context): return 1"
        self.hearth.python("first", code, tenant="starts")
        path = "/fn/starts/"
        start = lambda name: self.hearth.http("GET", path + name)[1]["hearth-start"]
        self.assertEqual(start("first"), "cold")
        self.assertEqual(start("first"), "warm")
        # The tenant's use of python keeps an interpreter without code ready.
        until(lambda: self.hearth.json("status")["sandboxes"]["generic"] >= 1, "a generic one")
        self.hearth.python("second", code + " + 1", tenant="starts")
        self.assertEqual(start("second"), "generic")
        self.assertEqual(start("second"), "warm")
        records = self.hearth.calls(tenant="starts")
        self.assertEqual([record["start"] for record in records[::-1]],
                         ["cold", "warm", "generic", "warm"])
        self.assertEqual([record["init_us"] > 0 for record in records[::-1]],
                         [True, False, True, False])

    def test_warm_min_keeps_sandboxes_ready_before_any_call(self):
        self.hearth.shell("ready", "cat > /dev/null; echo ok", "warm_min = 2\n[http]\n")

        def ready():
            path = "/v1/tenants/default/functions/ready"
            return json.loads(self.hearth.api("GET", path)[2])["sandboxes"]["ready"]

        until(lambda: ready() == 2, "two are ready")
        _, headers, _ = self.hearth.http("GET", "/fn/default/ready")
        self.assertEqual(headers["hearth-start"], "warm")
        until(lambda: ready() == 2, "two are ready again")


if __name__ == "__main__":
    unittest.main()
