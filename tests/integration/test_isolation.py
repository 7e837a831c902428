# SPDX-License-Identifier: Apache-2.0
"""What a function can see and do, tried from inside, and tried outside to show that it can be."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest

from tests.support import probes
from tests.support.instance import Instance

SOURCE = pathlib.Path(probes.__file__).read_text(encoding="utf-8")
SUBID_BASE = 0x70000000
BLOCK = 65536
ENVIRONMENT = {
    "PATH", "HOME", "TMPDIR", "LANG", "TZ", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS", "GOMAXPROCS", "UV_THREADPOOL_SIZE", "RAYON_NUM_THREADS",
    "AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "LAMBDA_TASK_ROOT", "_HANDLER", "HEARTH_TENANT"}
REFUSED = {"EPERM", "ENOSYS", "EACCES"}
# With arguments that the kernel refuses for another reason, or that do nothing, where it is asked.
SYSTEM_CALLS = {
    "mount": (0, 0, 0, 0, 0), "umount2": (0, 0), "pivot_root": (0, 0), "unshare": (0x10000000,),
    "setns": (-1, 0), "ptrace": (16, 0, 0, 0), "bpf": (0xffff, 0, 0), "keyctl": (0xffff,),
    "add_key": (0, 0, 0, 0, 0), "request_key": (0, 0, 0, 0), "io_uring_setup": (0, 0),
    "clone3": (0, 0), "fsopen": (0, 0), "open_tree": (-1, 0, 0), "move_mount": (-1, 0, -1, 0, 0),
    "mount_setattr": (-1, 0, 0, 0, 0), "chroot": (0,), "sethostname": (0, -1),
    "setdomainname": (0, -1), "process_vm_readv": (0, 0, 0, 0, 0, 0), "kcmp": (0, 0, 0, 0, 0),
    "perf_event_open": (0, 0, -1, -1, 0), "name_to_handle_at": (-1, 0, 0, 0, 0),
    "open_by_handle_at": (-1, 0, 0), "quotactl": (0, 0, 0, 0), "clock_settime": (0, 0),
    "adjtimex": (0,), "pidfd_getfd": (-1, -1, 0), "fanotify_init": (0, 0), "syslog": (10, 0, 0)}
# Refused inside; outside they would do harm, or a kernel may be built without them.
DANGEROUS = {"reboot": (0, 0, 0, 0), "init_module": (0, 0, 0), "finit_module": (-1, 0, 0),
             "kexec_load": (0, 0, 0, 0), "swapon": (0, 0), "acct": (0,), "settimeofday": (0, 0),
             "userfaultfd": (0,), "vhangup": (), "iopl": (3,), "modify_ldt": (0, 0, 0),
             "lookup_dcookie": (0, 0, 0)}


def setUpModule():
    global hearth
    hearth = Instance()
    unittest.addModuleCleanup(hearth.close)
    hearth.start()
    hearth.cli("tenant", "create", "other")
    hearth.python("probe", SOURCE, 'timeout_ms = 20000\n[env]\nDECLARED = "yes"\n')
    hearth.python("neighbour", SOURCE, "timeout_ms = 20000\n")
    hearth.python("probe", SOURCE, "timeout_ms = 20000\n", tenant="other")
    hearth.python("kept", SOURCE, 'reuse = "process"\ntimeout_ms = 20000\n')
    hearth.shell("shell", 'eval "$(cat)"', 'timeout_ms = 20000\n[env]\nDECLARED = "yes"\n')


def wait_until(what, condition):
    until = time.monotonic() + 30
    while not condition():
        if time.monotonic() > until:
            raise AssertionError(f"not within 30 s: {what}")
        time.sleep(0.02)


def inside(probe, *arguments, function="probe", tenant="default"):
    event = json.dumps({"probe": probe, "with": arguments}).encode()
    return json.loads(hearth.invoke(function, event, tenant=tenant)[0].stdout)


def outside(probe, *arguments):
    """The same in a process of this host, as root."""
    code = SOURCE + "\nimport json\nprint(json.dumps(run(*json.load(sys.stdin))))\n"
    done = subprocess.run([sys.executable, "-I", "-c", code], check=True, capture_output=True,
                          input=json.dumps([probe, arguments]).encode())
    return json.loads(done.stdout)


def shell(script):
    return hearth.invoke("shell", script.encode())[0].stdout.decode()


class Files(unittest.TestCase):
    def test_no_file_of_the_host_can_be_read(self):
        secret = hearth.home / "secret"
        secret.write_text("x")
        paths = ["/etc/shadow", "/root", "/home", "/boot", "/sys", "/run", "/mnt", "/opt", "/srv",
                 str(hearth.state), str(hearth.run), str(secret), str(hearth.config),
                 "/proc/kcore", "/proc/kmsg", "/proc/sys", "/proc/sysrq-trigger", "/proc/mounts",
                 "/proc/cmdline", "/proc/keys", "/proc/net", "/proc/1/environ", "/proc/1/root",
                 "/proc/1/fd", "/dev/mem", "/dev/kmsg", "/dev/console", "/dev/tty", "/dev/loop0"]
        found = inside("readable", paths)
        # /root is there, and empty: it is the image's.
        self.assertEqual(found.pop("/root"), "ok")
        self.assertEqual(inside("readable", ["/root/.bashrc"]), {"/root/.bashrc": "ENOENT"})
        # /proc/mounts and /proc/net are links to the process's own.
        for own in ("/proc/mounts", "/proc/net"):
            found.pop(own)
        self.assertNotIn("ok", found.values(), found)
        visible = outside("readable", ["/etc/shadow", "/root", "/sys", "/run", str(hearth.state),
                                       str(secret), "/proc/sys", "/proc/cmdline"])
        self.assertEqual(set(visible.values()), {"ok"}, visible)

    def test_nothing_but_its_scratch_can_be_written(self):
        folders = ["/", "/usr", "/usr/bin", "/usr/lib", "/etc", "/var", "/var/task",
                   "/var/runtime", "/dev", "/proc", "/root", "/bin", "/lib"]
        for probe, paths in (("writable", folders),
                             ("openable_for_writing", ["/var/task/app.py", "/etc/passwd",
                                                       "/var/runtime/python/bootstrap.py",
                                                       "/usr/bin/python3"])):
            found = inside(probe, paths)
            for path, outcome in found.items():
                self.assertIn(outcome, {"EROFS", "EACCES", "EPERM", "ENOENT"}, path)
        self.assertEqual(inside("writable", ["/tmp", "/dev/shm"]), {"/tmp": "ok", "/dev/shm": "ok"})

    def test_only_plain_devices_are_there(self):
        self.assertEqual(
            shell("cd /dev; echo *").split(),
            ["fd", "full", "null", "random", "shm", "stderr", "stdin", "stdout", "urandom", "zero"])
        self.assertEqual(shell("mknod /tmp/d c 1 3 2>&1 && cat /tmp/d && echo usable; true")
                         .count("usable"), 0)

    def test_no_mount_honours_setuid(self):
        self.assertEqual(shell("grep -vc nosuid /proc/self/mountinfo; true"), "0\n")
        # Becoming root by the image's own setuid program, where it has one.
        self.assertNotIn("uid=0(", shell("cp /usr/bin/id /tmp/id; chmod 6755 /tmp/id; /tmp/id; "
                                         "su -c id </dev/null 2>&1; true"))


class Processes(unittest.TestCase):
    def test_who_wakes_a_sandbox_is_not_interrupted_by_it(self):
        ask = "/usr/bin/python3 -c 'import os; print(os.sched_getscheduler(0))'"
        self.assertEqual(int(shell(ask)), os.SCHED_BATCH)
        host = subprocess.run(["sh", "-c", ask], capture_output=True, check=True)
        self.assertEqual(int(host.stdout), os.SCHED_OTHER)

    def test_no_process_of_the_host_is_seen(self):
        found = inside("processes")
        self.assertEqual(len(found), 1)  # only itself
        self.assertGreater(found[0], 1)
        self.assertIn(1, outside("processes"))
        self.assertGreater(len(outside("processes")), 5)

    def test_no_capability_is_in_any_set(self):
        for name, status in (("python", inside("status")),
                             ("shell", dict(line.split(":\t", 1) for line in
                                            shell("cat /proc/self/status").splitlines()
                                            if ":\t" in line))):
            with self.subTest(name):
                for each in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
                    self.assertEqual(int(status[each], 16), 0, each)
                self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"))
                self.assertEqual(int(status["SigBlk"], 16), 0)
                self.assertEqual(status["Groups"].strip(), "")
                self.assertNotIn("0", status["Uid"].split() + status["Gid"].split())
        self.assertEqual(int(status["SigIgn"], 16), 0)
        self.assertNotEqual(int(outside("status")["CapBnd"], 16), 0)

    def test_system_calls_that_reach_beyond_the_sandbox_are_refused(self):
        for name, arguments in {**SYSTEM_CALLS, **DANGEROUS}.items():
            with self.subTest(name):
                self.assertIn(inside("system_call", name, *arguments), REFUSED)
        for name, arguments in SYSTEM_CALLS.items():
            with self.subTest(outside=name):
                self.assertNotIn(outside("system_call", name, *arguments), REFUSED)

    def test_no_other_user_can_be_become(self):
        code = ("import os, sys\n" + SOURCE.split("def handle")[0] + "\n"
                "def handle(event, context):\n"
                "    return [attempt(lambda: os.setuid(0)), attempt(lambda: os.setgid(0)),\n"
                "            attempt(lambda: os.setresuid(1, 1, 1)),\n"
                "            attempt(lambda: os.setgroups([0])),\n"
                "            attempt(lambda: os.setuid(os.getuid()))]\n")
        hearth.python("becomer", code)
        done, _ = hearth.invoke("becomer")
        self.assertEqual(json.loads(done.stdout), ["EPERM"] * 4 + ["ok"])

    def test_init_and_the_zygote_cannot_be_killed(self):
        code = SOURCE.replace("def handle", "def old_handle") + (
            "\ndef handle(event, context):\n"
            "    return [attempt(lambda: os.kill(pid, sig))\n"
            "            for pid in (1, 2, -1, -2) for sig in (9, 19, 0)]\n")
        hearth.python("killer", code, "concurrency_max = 1\n")
        for _ in range(3):
            done, record = hearth.invoke("killer")
            self.assertEqual(set(json.loads(done.stdout)), {"EPERM"})
        self.assertEqual(record["start"], "warm")  # the same sandbox, in good health
        self.assertEqual(inside("processes") != [], True)

    def test_a_function_that_kills_all_it_can_harms_no_other(self):
        hearth.shell("rampage", "kill -9 -1; kill -9 1; kill -9 2; kill -9 0",
                     "concurrency_max = 1\n")
        before = hearth.process.pid
        for _ in range(3):
            done, record = hearth.invoke("rampage", check=False)
            self.assertIn(record["outcome"], {"ok", "crashed", "function_error"})
            self.assertEqual(shell("echo fine"), "fine\n")
        self.assertEqual(hearth.process.pid, before)


class Surroundings(unittest.TestCase):
    def test_the_environment_has_only_what_was_declared(self):
        names = set(shell("tr '\\0' '\\n' </proc/$$/environ").replace("=", "\n=")
                    .split("\n")) - {""}
        names = {name for name in names if not name.startswith("=")}
        self.assertEqual(names, ENVIRONMENT | {"DECLARED"})
        code = "import os\ndef handle(event, context):\n    return sorted(os.environ)\n"
        hearth.python("environment", code, '[env]\nDECLARED = "yes"\n')
        done, _ = hearth.invoke("environment")
        self.assertEqual(set(json.loads(done.stdout)), ENVIRONMENT | {"DECLARED"})
        node = "exports.handle = async () => Object.keys(process.env);\n"
        hearth.function("nodeenvironment", "nodejs", "app.handle", {"app.js": node},
                        '[env]\nDECLARED = "yes"\n')
        done, _ = hearth.invoke("nodeenvironment")
        self.assertEqual(set(json.loads(done.stdout)), ENVIRONMENT | {"DECLARED"})

    def test_no_descriptor_is_inherited(self):
        found = inside("descriptors")
        self.assertLessEqual(set(found), {"0", "1", "2", "3"}, found)
        self.assertNotIn(str(hearth.home), json.dumps(found))
        listed = dict(line.split(" -> ") for line in shell("ls -l /proc/$$/fd").splitlines()[1:])
        listed = {name.split()[-1]: what for name, what in listed.items()}
        # The shell has its own script open.
        self.assertEqual([what for what in listed.values() if what == "/var/task/run"],
                         ["/var/task/run"])
        self.assertEqual({name for name, what in listed.items() if what != "/var/task/run"},
                         {"0", "1", "2"}, listed)
        with open("/dev/null", "rb") as kept:
            os.set_inheritable(kept.fileno(), True)
            self.assertIn(kept.fileno(), probes.descriptors())

    def test_umask_folder_name_and_user_are_plain(self):
        self.assertEqual(shell("umask; pwd; uname -n; id -u").split(),
                         ["0022", "/var/task", "hearth", "1000"])
        self.assertNotEqual(os.uname().nodename, "hearth")

    def test_only_its_own_loopback_is_there(self):
        self.assertEqual(inside("interfaces"), ["lo"])
        self.assertEqual(inside("own_loopback"), "hello")
        port = hearth.port
        self.assertEqual(probes.connect(("127.0.0.1", port)), "ok")
        code = SOURCE.replace("def handle", "def old_handle") + (
            "\ndef handle(event, context):\n"
            f"    return [connect(('127.0.0.1', {port})), connect(('10.0.0.1', 80)),\n"
            f"            connect(('8.8.8.8', 53)), connect({str(hearth.run)!r} + '/hearth.sock',\n"
            "            socket.AF_UNIX), connect('\\0hearth-test', socket.AF_UNIX)]\n")
        hearth.python("dialler", code)
        with socket.socket(socket.AF_UNIX) as abstract:
            abstract.bind("\0hearth-test")
            abstract.listen()
            self.assertEqual(probes.connect("\0hearth-test", socket.AF_UNIX), "ok")
            done, _ = hearth.invoke("dialler")
        self.assertEqual(json.loads(done.stdout),
                         ["ECONNREFUSED", "ENETUNREACH", "ENETUNREACH", "ENOENT", "ECONNREFUSED"])


class OneAnother(unittest.TestCase):
    @contextlib.contextmanager
    def running(self, *who):
        """Calls that leave state and stay, in their sandboxes, while the block runs."""
        code = SOURCE.replace("def handle", "def old_handle") + (
            "\nimport time\ndef handle(event, context):\n"
            "    leave_state('word')\n    time.sleep(6)\n")
        for tenant, function in who:
            hearth.python(function, code, "timeout_ms = 60000\n", tenant=tenant)
        threads = [threading.Thread(target=hearth.invoke, args=(function,),
                                    kwargs={"tenant": tenant}) for tenant, function in who]
        before = set(self.stubborn())
        for thread in threads:
            thread.start()
        try:
            wait_until("they have left their state",
                       lambda: len(set(self.stubborn()) - before) == len(who))
            yield
        finally:
            for thread in threads:
                thread.join()

    def leaves(self):
        """{cgroup: its processes on the host} of sandboxes."""
        found = {}
        for path in hearth.cgroups():
            with contextlib.suppress(OSError):
                if pids := [int(pid) for pid in (path / "cgroup.procs").read_text().split()]:
                    found[str(path)] = pids
        return found

    def stubborn(self):
        """The processes that leave_state() left: they ignore SIGTERM."""
        found = []
        for pid in hearth.sandbox_pids():
            with contextlib.suppress(OSError):
                if int(probes.status(pid)["SigIgn"], 16) & 1 << signal.SIGTERM - 1:
                    found.append(pid)
        return found

    def test_sandboxes_of_other_functions_and_tenants_are_not_seen(self):
        with self.running(("default", "stayer-a"), ("other", "stayer-b")):
            for tenant, function in (("default", "neighbour"), ("other", "probe")):
                with self.subTest(tenant=tenant):
                    state = inside("find_state", function=function, tenant=tenant)
                    self.assertEqual((state["tmp"], state["shm"]), ([], []))
                    self.assertEqual(state["socket"], "ECONNREFUSED")
                    self.assertEqual(state["processes"], 1)  # only itself

    def test_each_sandbox_has_a_block_of_ids_of_its_own(self):
        with self.running(("default", "stayer-a"), ("other", "stayer-b")):
            blocks = []
            for leaf, pids in self.leaves().items():
                ids = set()
                for pid in pids:
                    with contextlib.suppress(OSError):
                        status = probes.status(pid)
                        ids |= {int(each) for each in
                                status["Uid"].split() + status["Gid"].split()}
                self.assertEqual(len({(each - SUBID_BASE) // BLOCK for each in ids}), 1, leaf)
                self.assertGreaterEqual(min(ids), SUBID_BASE)
                blocks.append((min(ids) - SUBID_BASE) // BLOCK)
            self.assertGreaterEqual(len(blocks), 2)
            self.assertEqual(len(blocks), len(set(blocks)))

    def test_a_call_finds_nothing_of_the_one_before_it(self):
        hearth.python("alone", SOURCE, "concurrency_max = 1\ntimeout_ms = 20000\n")
        before = set(self.stubborn())
        clean = inside("find_state", function="alone")
        for _ in range(2):
            left = inside("leave_state", "word", function="alone")
            self.assertEqual((left["tmp"], left["shm"]), (["deep"], ["deep"]))
            self.assertEqual((left["module"], left["environment"], left["socket"]),
                             ("word", "word", "ok"))
            self.assertEqual(inside("find_state", function="alone"), clean)
            self.assertEqual(set(self.stubborn()) - before, set())
        starts = [row["start"] for row in hearth.calls(function="alone", limit=4)]
        self.assertEqual(starts, ["warm"] * 4)  # the sandbox was the same
        self.assertEqual((clean["tmp"], clean["shm"], clean["module"], clean["environment"]),
                         ([], [], None, None))
        self.assertEqual((clean["socket"], clean["working"]), ("ECONNREFUSED", "/var/task"))

    def test_a_process_kept_on_request_keeps_its_state(self):
        inside("leave_state", "word", function="kept")
        state = inside("find_state", function="kept")
        self.assertEqual((state["module"], state["environment"]), ("word", "word"))


if __name__ == "__main__":
    unittest.main()
