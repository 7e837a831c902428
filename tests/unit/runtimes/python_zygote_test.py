# SPDX-License-Identifier: Apache-2.0
"""python3, a fresh process for each call: python_zygote_test.py BOOTSTRAP"""

import json
import os
import shutil
import signal
import socket
import struct
import sys

import support
from support import LAST_CALL, READY, REPLY

CYCLES = 200


class ZygoteTest(support.RuntimeTest):
    def zygote(self, text, ready=True, program=None, uid=None, **options):
        self.write("app.py", text)
        zygote = support.Zygote(program or self.argv, uid)
        self.addCleanup(zygote.end)
        self.assertEqual(zygote.process.channel.receive().meta["runtime"], "python3")
        answer = self.load(zygote.process, mode="sandbox", **options)
        self.assertIsNotNone(answer, zygote.process.err.now())
        self.assertEqual(answer.type, READY, answer)
        if ready:
            self.assertEqual(answer.meta["fork"], "1", answer)
        zygote.notes = [value for name, value in answer.pairs if name == "note"]
        return zygote

    def child(self, zygote):
        child = zygote.fork()
        self.addCleanup(child.end)
        return child

    def once(self, zygote, event=None):
        """One call in one child, reaped here as PID 1 would."""
        child = zygote.fork()
        try:
            result = child.call_json(event, flags=LAST_CALL)
            self.assertEqual(child.wait(), 0)
            return result
        finally:
            child.end()

    def test_gives_every_call_fresh_random_values(self):
        zygote = self.zygote(
            "import os, random, secrets, ssl, tempfile, uuid\n"
            "random.random(); uuid.uuid4(); secrets.token_hex(); ssl.RAND_bytes(8)\n"
            "next(tempfile._get_candidate_names())\n"
            "count = 0\n"
            "def handle(event, context):\n"
            "    global count\n    count += 1\n"
            "    with tempfile.NamedTemporaryFile() as file:\n        name = file.name\n"
            "    return [random.random(), str(uuid.uuid4()), secrets.token_hex(),\n"
            "            os.urandom(8).hex(), ssl.RAND_bytes(8).hex(), name, count, event]\n"
        )
        seen = [self.once(zygote, i) for i in range(CYCLES)]
        for column in range(6):
            self.assertEqual(len({row[column] for row in seen}), CYCLES, column)
        self.assertEqual([row[6:] for row in seen], [[1, i] for i in range(CYCLES)])
        self.assertEqual(zygote.notes, [])

    def test_draws_the_same_without_the_renewal(self):
        # The twin of the test above: the probe sees a generator that nobody renews, and the note
        # names it.
        zygote = self.zygote(
            "import random\nrng = random.Random()\nsafe = random.SystemRandom()\n"
            "def handle(event, context):\n    return [rng.random(), safe.random()]\n"
        )
        seen = [self.once(zygote) for _ in range(3)]
        self.assertEqual(len({row[0] for row in seen}), 1)
        self.assertEqual(len({row[1] for row in seen}), 3)
        self.assertEqual(len(zygote.notes), 1, zygote.notes)
        self.assertIn("app.rng", zygote.notes[0])

    def test_renews_numpy(self):
        self.write("numpy/__init__.py", "from numpy import random\n")
        self.write(
            "numpy/random.py",
            "import os\nstate = 0\ndef seed():\n    global state\n    state = os.getpid()\n",
        )
        zygote = self.zygote(
            "import numpy, os\n"
            "def handle(event, context):\n    return numpy.random.state == os.getpid()\n"
        )
        self.assertIs(self.once(zygote), True)

    def test_children_are_not_children_of_the_zygote(self):
        zygote = self.zygote(
            "import os\ndef handle(event, context):\n"
            "    return [os.getppid(), os.getpid(), os.getsid(0), os.getpgid(0)]\n"
        )
        child = self.child(zygote)
        pid = child.pid
        self.assertEqual(child.call_json(), [os.getpid(), pid, pid, pid])
        self.assertEqual(child.wait(), 0)

    def test_many_children_can_be_parked(self):
        zygote = self.zygote("import os\ndef handle(e, c):\n    return os.getpid()\n")
        children = [self.child(zygote) for _ in range(8)]
        for child in reversed(children):
            self.assertEqual(child.call_json(), child.pid)
            self.assertEqual(child.wait(), 0)

    def test_a_parked_child_ends_with_its_channel(self):
        child = self.child(self.zygote("def handle(e, c):\n    return 1\n"))
        child.channel.socket.close()
        self.assertEqual(child.wait(), 0)

    def test_outlives_what_its_children_do(self):
        zygote = self.zygote(
            "import os, sys\ndef handle(event, context):\n"
            "    if event == 'segv':\n        os.kill(os.getpid(), 11)\n"
            "    if event == 'exit':\n        os._exit(7)\n"
            "    if event == 'raise':\n        raise ValueError('v')\n"
            "    if event == 'close':\n        os.closerange(0, 64)\n"
            "    return 'fine'\n"
        )
        for _ in range(5):
            child = self.child(zygote)
            self.assertIsNone(child.call(b'"segv"'))
            self.assertEqual(child.wait(), signal.SIGSEGV)
            child = self.child(zygote)
            self.assertIsNone(child.call(b'"exit"'))
            self.assertEqual(os.waitstatus_to_exitcode(child.wait()), 7)
            child = self.child(zygote)
            self.error(child.call(b'"raise"'), "function_error", "ValueError")
            self.assertEqual(child.wait(), 0)
            self.assertIn(b"ValueError: v", child.err.all())
            child = self.child(zygote)
            self.assertIsNone(child.call(b'"close"'))
            self.assertEqual(os.waitstatus_to_exitcode(child.wait()), 2)
            self.assertEqual(self.once(zygote, 1), "fine")

    def test_logs_of_a_child_are_complete_at_end_of_file(self):
        zygote = self.zygote(
            "import sys\nprint('at import', end='')\ndef handle(event, context):\n"
            "    print('out' * 50000, end='')\n    print('err', file=sys.stderr, end='')\n"
        )
        for _ in range(3):
            child = self.child(zygote)
            self.assertIsNone(child.call_json())
            self.assertEqual(child.wait(), 0)
            self.assertEqual(child.out.all(), b"out" * 50000)
            self.assertEqual(child.err.all(), b"err")
        self.assertEqual(zygote.process.out.now(), b"at import")

    def test_a_child_holds_nothing_of_the_zygote(self):
        zygote = self.zygote(
            "import os\ndef handle(event, context):\n"
            "    return [os.readlink(f'/proc/self/fd/{n}') for n in range(3)] + \\\n"
            "        sorted(int(n) for n in os.listdir('/proc/self/fd'))\n"
        )
        seen = self.once(zygote)
        self.assertEqual(seen[0], "/dev/null")
        self.assertEqual([name[:5] for name in seen[1:3]], ["pipe:", "pipe:"])
        self.assertEqual(seen[3:], [0, 1, 2, 3, 4])  # 4 is the folder that is being read

    def test_the_zygote_keeps_no_descriptor_of_its_children(self):
        zygote = self.zygote("def handle(e, c):\n    return 1\n")
        folder = f"/proc/{zygote.process.pid}/fd"
        before = os.listdir(folder)
        for _ in range(10):
            self.once(zygote)
        self.assertEqual(os.listdir(folder), before)

    def test_zygote_and_children_cannot_be_looked_into(self):
        zygote = self.zygote(
            "import ctypes\ndef handle(event, context):\n"
            "    return ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)\n"  # PR_GET_DUMPABLE
        )
        self.assertEqual(self.once(zygote), 0)
        # A process that may be looked into has /proc files of its own user.
        status = os.stat(f"/proc/{zygote.process.pid}/environ")
        self.assertEqual(status.st_uid, 0)

    def test_collects_garbage_in_children_only(self):
        zygote = self.zygote(
            "import gc\nbig = [[] for _ in range(1000)]\n"
            "def handle(event, context):\n    return [gc.isenabled(), gc.get_freeze_count()]\n"
        )
        enabled, frozen = self.once(zygote)
        self.assertIs(enabled, True)
        self.assertGreater(frozen, 1000)

    def test_runs_async_and_logging_handlers_in_children(self):
        zygote = self.zygote(
            "import logging\nlog = logging.getLogger()\n"
            "async def handle(event, context):\n    log.warning('w %s', event)\n    return 1\n"
        )
        for i in range(3):
            child = self.child(zygote)
            self.assertEqual(child.call_json(i), 1)
            self.assertIn(f"\treq-1\tw {i}\n".encode(), child.out.all())
            child.wait()

    def test_a_child_can_start_threads_and_programs(self):
        zygote = self.zygote(
            "import subprocess, threading\n"
            "def handle(event, context):\n"
            "    seen = []\n"
            "    workers = [threading.Thread(target=seen.append, args=(i,)) for i in range(8)]\n"
            "    for w in workers:\n        w.start()\n"
            "    for w in workers:\n        w.join()\n"
            "    threading.Thread(target=threading.Event().wait).start()\n"  # never ends
            "    return [len(seen), subprocess.run(['/bin/echo', 'hi'],\n"
            "            capture_output=True).stdout.decode()]\n"
        )
        self.assertEqual(self.once(zygote), [8, "hi\n"])

    def test_a_child_knows_its_own_thread_number(self):
        # What fork() of the C library does and clone(2) does not: with a stale number this fails.
        zygote = self.zygote(
            "import ctypes\nlib = ctypes.CDLL(None)\nlib.pthread_self.restype = ctypes.c_void_p\n"
            "def handle(event, context):\n"
            "    me = ctypes.c_void_p(lib.pthread_self())\n"
            "    name = ctypes.create_string_buffer(64)\n"
            "    return [lib.pthread_setname_np(me, b'worker'),\n"
            "            lib.pthread_getname_np(me, name, 64), name.value.decode()]\n"
        )
        self.assertEqual(self.once(zygote), [0, 0, "worker"])

    def test_with_threads_at_import_it_serves_one_call_itself(self):
        zygote = self.zygote(
            "import threading, time\n"
            "threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()\n"
            "def handle(event, context):\n    return event\n",
            ready=False,
        )
        self.assertEqual(len(zygote.notes), 1)
        self.assertIn("1 threads run after the import", zygote.notes[0])
        self.assertEqual(zygote.process.call_json("only", flags=LAST_CALL), "only")
        self.assertEqual(zygote.process.wait(), 0)

    def test_does_not_fork_once_a_thread_runs(self):
        # The thread is started by C code that runs in the zygote at fork time.
        zygote = self.zygote(
            "import os, threading\nn = [0]\n"
            "def start():\n    n[0] += 1\n"
            "    if n[0] == 2:\n        threading.Thread(target=os.read, args=(r, 1)).start()\n"
            "r, w = os.pipe()\nos.register_at_fork(after_in_parent=start)\n"
            "def handle(event, context):\n    return n\n"
        )
        self.assertEqual(self.once(zygote), [0])
        self.assertEqual(self.once(zygote), [1])
        with self.assertRaisesRegex(AssertionError, "busy"):
            zygote.fork()

    def test_names_what_calls_would_share(self):
        zygote = self.zygote(
            "import mmap, os, socket\n"
            "file = open(__file__)\nnull = open('/dev/null')\nends = socket.socketpair()\n"
            "memory = mmap.mmap(-1, 4096)\nprivate = mmap.mmap(-1, 4096, mmap.MAP_PRIVATE)\n"
            "def handle(event, context):\n    return file.fileno()\n"
        )
        text = "\n".join(zygote.notes)
        self.assertIn(f"({os.path.realpath(self.task)}/app.py) was opened at import", text)
        self.assertEqual(text.count("socket:["), 2, text)
        self.assertEqual(text.count("memory of /dev/zero"), 1, text)
        self.assertEqual(len(zygote.notes), 4, text)
        self.assertGreater(self.once(zygote), 4)

    def test_bounds_the_notes(self):
        zygote = self.zygote(
            "import os\nfiles = [open(__file__) for _ in range(200)]\n"
            "def handle(event, context):\n    return 1\n"
        )
        self.assertEqual(len(zygote.notes), 32)
        self.assertIn("169 more", zygote.notes[-1])

    def test_refuses_orders_that_are_none(self):
        zygote = self.zygote("def handle(event, context):\n    return 1\n")
        null = os.open("/dev/null", os.O_RDWR)
        self.addCleanup(os.close, null)
        before = os.listdir(f"/proc/{zygote.process.pid}/fd")
        for byte, count in ((b"X", 3), (b"F", 2), (b"F", 4), (b"F", 0)):
            socket.send_fds(zygote.orders, [byte], [null] * count)
            (answer,) = struct.unpack("<i", zygote.orders.recv(16))
            self.assertEqual(-answer, 74, (byte, count))  # EBADMSG
        self.assertEqual(os.listdir(f"/proc/{zygote.process.pid}/fd"), before)
        self.assertEqual(self.once(zygote), 1)

    def test_ends_with_its_fork_socket(self):
        zygote = self.zygote("def handle(event, context):\n    return 1\n")
        child = self.child(zygote)
        zygote.orders.close()
        self.assertEqual(zygote.process.wait(), 0)
        self.assertEqual(child.call_json(), 1)

    def test_without_a_fork_socket_one_call_is_served(self):
        process = self.loaded("def handle(event, context):\n    return 1\n", mode="sandbox")
        self.assertEqual(process.call_json(), 1)
        self.assertEqual(process.wait(), 0)

    def test_carries_six_mebibytes_through_a_child(self):
        zygote = self.zygote("def handle(event, context):\n    return event\n")
        text = "é" * (3 << 20)
        child = self.child(zygote)
        answer = child.call(json.dumps(text, ensure_ascii=False).encode())
        self.assertEqual(answer.type, REPLY)
        self.assertEqual(json.loads(answer.body), text)

    def test_reports_a_failed_fork(self):
        # RLIMIT_NPROC does not bind uid 0, and another user may not reach the build folder.
        program, uid = list(self.argv), None
        if os.getuid() == 0:
            uid = 65534
            program[-1] = self.task + "/runtime/bootstrap.py"
            shutil.copytree(os.path.dirname(self.argv[-1]), self.task + "/runtime")
        for limit, error in (("64", None), ("0", "temporarily unavailable")):
            zygote = self.zygote(
                "def handle(event, context):\n    return 1\n",
                program=program,
                uid=uid,
                processes_max=limit,
            )
            if error is None:
                self.assertEqual(self.once(zygote), 1)
                continue
            for _ in range(2):
                with self.assertRaisesRegex(AssertionError, error):
                    zygote.fork()


if __name__ == "__main__":
    support.RuntimeTest.argv = ["/usr/bin/python3", "-I", sys.argv[1]]
    support.main()
