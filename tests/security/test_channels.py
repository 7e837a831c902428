# SPDX-License-Identifier: Apache-2.0
"""Channels between sandboxes that run at the same time: a word that one leaves, another seeks."""

import contextlib
import functools
import hashlib
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import unittest

from tests.security.frame import FOLDER, LIMITS, Attacks
from tests.support.instance import STAGE, Instance
from tests.support.waiting import until

sys.path.insert(0, str(FOLDER))
import page_cache

WORD = f"hearth-word-{os.getpid()}"
# How looking for the word ends inside. Leaving it is mostly refused already.
NOTHING, REFUSED, NO_FILE = "nothing", "EPERM", "ENOENT"
ENDS = {
    "abstract_socket": "ECONNREFUSED", "descriptor": NOTHING, "file_in_shared_memory": NO_FILE,
    "file_in_tmp": NO_FILE, "key": REFUSED, "lease": "EINVAL",
    "message_queue": REFUSED, "port": "ECONNREFUSED", "port_for_datagrams": "ECONNREFUSED",
    "port_of_any_address": "ECONNREFUSED", "process": NOTHING, "socket_in_tmp": NO_FILE,
    "system_v_memory": REFUSED, "system_v_messages": REFUSED, "system_v_semaphores": REFUSED,
    "watch": "EINVAL"}
# Who looks: (tenant, function).
RELATIONS = {"another_tenant": ("other", "probe"), "another_function": ("default", "probe"),
             "another_sandbox_of_the_function": ("default", "holder")}


class Held(Attacks):
    """The word is left outside, and in a sandbox, by calls that stay."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.hearth.cli("tenant", "create", "other")
        cls.deploy("probe", LIMITS, tenant="other")
        cls.deploy("holder", LIMITS.replace("30000", "200000"))
        cls.hold_outside()
        cls.hold_inside()

    @classmethod
    def hold_outside(cls):
        holder = subprocess.Popen(
            ["/usr/bin/python3", FOLDER / "verdict.py", "channels.hold", json.dumps([WORD])],
            stdout=subprocess.PIPE)
        cls.addClassCleanup(cls.end_outside, holder)
        holder.stdout.readline()

    @classmethod
    def end_outside(cls, holder):
        with contextlib.suppress(ProcessLookupError):
            found = subprocess.run(["pgrep", "-x", WORD[-15:]], capture_output=True, check=False)
            for pid in found.stdout.split():
                os.kill(int(pid), signal.SIGKILL)
        holder.kill()
        holder.wait()
        holder.stdout.close()
        subprocess.run(["/usr/bin/python3", FOLDER / "verdict.py", "channels.remove_all",
                        json.dumps([WORD])], check=True, stdout=subprocess.DEVNULL)

    @classmethod
    def hold_inside(cls):
        """A call that stays until its client goes away."""
        cls.client = client = http.client.HTTPConnection("localhost")
        client.sock = socket.socket(socket.AF_UNIX)
        client.sock.connect(str(cls.hearth.run / "hearth.sock"))
        cls.addClassCleanup(client.close)
        client.request("POST", "/v1/tenants/default/functions/holder/invocations",
                       json.dumps({"attempt": "channels.hold", "with": [WORD, True]}))
        until(cls.is_held, "the word is left in a sandbox")

    @classmethod
    def is_held(cls):
        for pid in cls.hearth.sandbox_pids():
            with contextlib.suppress(OSError):
                if pathlib.Path(f"/proc/{pid}/comm").read_text() == "holding\n":
                    return True
        return False

    def seek(self, channel, tenant, function):
        found = self.outside(f"channels.find_{channel}", WORD)
        self.assertTrue(found.worked, f"the channel does not work outside: {found.detail}")
        found = self.inside(f"channels.find_{channel}", WORD, function=function, tenant=tenant)
        self.assertFalse(found.worked, f"the word came through: {found.detail}")
        self.assertRegex(found.detail, f"^(?:{ENDS[channel]})")


class Concurrent(Held):
    def seek_held(self, channel, relation):
        self.assertTrue(self.is_held())
        self.seek(channel, *RELATIONS[relation])

    def locked(self, kind, which, relation):
        tenant, function = RELATIONS[relation]
        return self.inside(f"channels.find_{kind}", WORD, which, function=function,
                           tenant=tenant).worked

    def test_locks_cross_sandboxes_only_on_files_that_they_share(self):
        """The one known channel: see THREAT_MODEL.md. It must not grow beyond what is shared."""
        for kind in ("lock", "record_lock"):
            for relation in RELATIONS:
                crossed = {which: self.locked(kind, which, relation)
                           for which in ("program", "runtime", "code")}
                with self.subTest(kind, relation=relation):
                    self.assertEqual(crossed, KNOWN[relation])


# The image and the runtime are everybody's, the code is its function's.
KNOWN = {"another_tenant": {"program": True, "runtime": True, "code": False},
         "another_function": {"program": True, "runtime": True, "code": False},
         "another_sandbox_of_the_function": {"program": True, "runtime": True, "code": True}}


class SameIds(Held):
    """One block of ids for the whole host: who comes next is, for the host, the same user."""

    installation = functools.partial(
        Instance, "[pool]\nsandboxes_max = 1\ngeneric_max = 0\n[sandbox]\nsubid_blocks = 1\n")

    @classmethod
    def hold_inside(cls):
        super().hold_inside()
        before = cls.users("default")
        cls.client.close()
        until(lambda: not cls.hearth.sandbox_pids(), "the sandbox is gone")
        event = {"attempt": "channels.find_process", "with": [WORD]}
        cls.hearth.invoke("probe", json.dumps(event).encode(), tenant="other")
        after = cls.users("other")
        assert before and after == before, (before, after)

    @classmethod
    def users(cls, tenant):
        """Who the processes of its sandboxes are for the host."""
        groups = [path for path in cls.hearth.cgroups() if f"/tenants/{tenant}/" in f"{path}/"]
        pids = [pid for path in groups for pid in (path / "cgroup.procs").read_text().split()]
        told = [pathlib.Path(f"/proc/{pid}/status").read_text() for pid in pids]
        return {line for text in told for line in text.splitlines() if line.startswith("Uid:")}

    def test_the_next_tenant_finds_no_lock(self):
        for kind in ("lock", "record_lock"):
            for which in ("program", "runtime", "code"):
                with self.subTest(kind, which=which):
                    self.assertFalse(self.inside(f"channels.find_{kind}", WORD, which,
                                                 tenant="other").worked)


READERS = (("other", "probe"), ("default", "probe"), ("default", "writer"))


class PageCache(Attacks):
    """What one writes into files that all sandboxes map, others read; so does the host."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.hearth.cli("tenant", "create", "other")
        cls.deploy("probe", LIMITS, tenant="other")
        # Each of its calls is in another sandbox.
        cls.deploy("writer", f'reuse = "never"\n{LIMITS}')
        cls.own = cls.hearth.home / "own"
        cls.clean = cls.of_the_host()

    @classmethod
    def of_the_host(cls):
        bootstrap = sorted(STAGE.glob("**/runtimes/python/bootstrap.py"))
        code = sorted(cls.hearth.state.glob("bundles/*/host.py"))
        files = [*bootstrap, *code, pathlib.Path(page_cache.SHARED_FILES["program"])]
        assert len(bootstrap) == 1 and code, files
        return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    def check(self, way):
        self.own.write_text("# out of the test\n" * 1000)
        twin = self.outside("page_cache.write_own", way, str(self.own))
        self.assertEqual(twin.worked, way in page_cache.WORKING, twin.detail)
        self.assertRegex(twin.detail, f"^(?:changed|{page_cache.PRIVATE})$")
        found = self.inside("page_cache.write_shared", way, function="writer")
        self.assertFalse(found.worked, f"a file is changed: {found.detail}")
        self.assertRegex(found.detail, page_cache.pattern(way))
        self.assertEqual(self.of_the_host(), self.clean)
        read = {self.inside("page_cache.digests", function=function, tenant=tenant)
                for tenant, function in READERS}
        self.assertEqual(len(read), 1, read)
        self.assertLessEqual(set(read.pop().detail.split(",")), set(self.clean.values()))


def add_tests():
    for channel in ENDS:
        for relation in RELATIONS:
            setattr(Concurrent, f"test_{relation}_finds_no_{channel}",
                    lambda self, channel=channel, relation=relation:
                    self.seek_held(channel, relation))
        setattr(SameIds, f"test_the_next_tenant_finds_no_{channel}",
                lambda self, channel=channel: self.seek(channel, "other", "probe"))
    for way in page_cache.WAYS:
        setattr(PageCache, f"test_nobody_reads_what_is_written_{way}",
                lambda self, way=way: self.check(way))


add_tests()
if __name__ == "__main__":
    unittest.main()
