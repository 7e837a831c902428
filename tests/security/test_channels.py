# SPDX-License-Identifier: Apache-2.0
"""Channels between sandboxes that run at the same time: a word that one leaves, another seeks."""

import contextlib
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import unittest

from tests.security.frame import FOLDER, LIMITS, Attacks
from tests.support.waiting import until

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


class Concurrent(Attacks):
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
        client = http.client.HTTPConnection("localhost")
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

    def seek(self, channel, relation):
        found = self.outside(f"channels.find_{channel}", WORD)
        self.assertTrue(found.worked, f"the channel does not work outside: {found.detail}")
        self.assertTrue(self.is_held())
        tenant, function = RELATIONS[relation]
        found = self.inside(f"channels.find_{channel}", WORD, function=function, tenant=tenant)
        self.assertFalse(found.worked, f"the word came through: {found.detail}")
        self.assertRegex(found.detail, f"^(?:{ENDS[channel]})")

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

def add_tests():
    for relation in RELATIONS:
        for channel in ENDS:
            name = f"test_{relation}_finds_no_{channel}"
            setattr(Concurrent, name, lambda self, channel=channel, relation=relation:
                    self.seek(channel, relation))


add_tests()
if __name__ == "__main__":
    unittest.main()
