# SPDX-License-Identifier: Apache-2.0
"""Attacks of a call on what serves every call of its sandbox: init, the zygote, their sockets."""

import contextlib
import functools
import pathlib
import signal
import unittest

from tests.security.frame import FOLDER, LIMITS, MODULES, Attacks, Promise, promises
from tests.support.instance import Instance

INIT, ZYGOTE, CHILD = 1, 2, 0
KILL, STOP, USER = signal.SIGKILL, signal.SIGSTOP, signal.SIGUSR1
HIGH = 1 << 32


def against(name, attempt, ends, *more):
    """One attempt on both; the twin's victim is a child of its own."""
    return [Promise(f"cannot_{name}_{victim}", "neighbours." + attempt, ends, (pid, *more),
                    (CHILD, *more)) for victim, pid in (("init", INIT), ("the_zygote", ZYGOTE))]


@promises(
    *against("kill", "send_signal", "EPERM", KILL),
    *against("stop", "send_signal", "EPERM", STOP),
    *against("signal_behind_high_bits", "send_signal", "EPERM", USER, HIGH),
    *against("signal_a_thread_of", "send_signal_to_thread", "EPERM", USER),
    *against("signal_a_bare_thread_of", "send_signal_to_bare_thread", "EPERM", USER),
    *against("queue_a_signal_to", "queue_signal", "EPERM", USER),
    *against("signal_by_a_handle_on", "signal_by_handle", "EPERM", USER),
    *against("signal_by_the_folder_of", "signal_by_folder", "ENOENT", USER),
    *against("join_the_group_of", "join_group", "EPERM"),
    *against("trace", "trace", "EPERM"),
    *against("open_the_memory_of", "read_memory", "ENOENT"),
    *against("read_the_memory_of", "read_memory_by_call", "EPERM"),
    *against("see_the_map_of", "see_maps", "ENOENT"),
    *against("see_descriptors_of", "see_descriptors", "ENOENT"),
    *against("take_a_descriptor_of", "take_descriptor", "EPERM"),
    *against("write_to_the_program_of", "open_program", "ENOENT"),
    *against("enter_namespaces_of", "enter_namespaces", "EPERM"),
    *against("slow_down", "slow_down", "EPERM"),
    *against("schedule_as_idle", "schedule_as_idle", "EPERM"),
    *against("move_to_another_processor", "move_to_a_processor", "EPERM"),
    *against("limit", "limit", "EPERM"),
    *against("delay_the_disk_of", "delay_disk", "EPERM"),
    *against("blame_for_memory", "blame_for_memory", "ENOENT"),
    *against("move_pages_of", "move_memory", "EPERM"),
    *against("own_signals_of_a_socket_as", "own_signals_of_a_socket", "EINVAL"),
    Promise("cannot_slow_down_its_group", "neighbours.slow_down_the_group", "EPERM", (CHILD,)),
    Promise("cannot_slow_down_its_user", "neighbours.slow_down_the_user", "EPERM", (CHILD,)),
    Promise("cannot_kill_everybody", "host.calls", "EPERM", (62, -1, 0)),
    Promise("cannot_kill_everybody_behind_high_bits", "host.calls", "EPERM",
            (62, HIGH * 3 + 0xffffffff, 0)),
    Promise("cannot_kill_the_zygotes_group", "host.calls", "EPERM", (62, -2, 0), (62, 0, 0)),
    Promise("cannot_change_its_scheduling_group", "neighbours.yield_to_others",
            "Read-only file system", (), (True,)),
    Promise("cannot_signal_init_by_its_channel", "neighbours.signal_init_by_channel", "EPERM",
            (USER,)),
)
class Processes(Attacks):
    def outside(self, attempt, *given, **more):
        if attempt == "neighbours.signal_init_by_channel":
            attempt, given = "neighbours.signal_own_channel", (0,)
        return super().outside(attempt, *given, **more)

    def tearDown(self):
        """Whatever was tried, the same sandbox serves on."""
        found = self.inside("neighbours.orphans", 0)
        self.assertEqual(found, (True, "0"))


def on_init(by, who, rows):
    """Attempts of a runtime without a zygote, whose filter is another one."""
    return [Promise(f"{who}_cannot_{name}", attempt, ends, by=by, place="below an init", **more)
            for name, (attempt, ends, more) in rows.items()]


def refused(attempt, **more):
    return attempt, "EPERM", more


def hidden(attempt):
    return attempt, "ENOENT", {}


def script_refused(attempt):
    return attempt, ".*(?:Operation not permitted|Permission denied)", {}


def script_sees_nothing(attempt):
    return attempt, ".*No such file", {}


@promises(
    *on_init("native", "a_program", {
        "kill_init": refused("kill_init"),
        "stop_init": refused("stop_init"),
        "signal_a_thread_of_init": refused("signal_thread_of_init"),
        "signal_init_by_a_handle": refused("signal_init_by_handle"),
        "signal_init_by_its_channel": refused("signal_init_by_channel", lacks="ENOPROTOOPT"),
        "trace_init": refused("trace_init"),
        "slow_down_init": refused("slow_down_init"),
        "take_a_descriptor_of_init": refused("take_descriptor_of_init"),
        "read_the_memory_of_init": refused("read_memory_of_init"),
        "write_the_memory_of_init": refused("write_memory_of_init"),
        "open_the_memory_of_init": hidden("open_mem_of_init"),
        "see_the_map_of_init": hidden("open_maps_of_init"),
        "open_the_program_of_init": hidden("open_exe_of_init"),
        "see_descriptors_of_init": hidden("open_fd_of_init"),
        "enter_the_root_of_init": hidden("open_root_of_init"),
        "see_the_environment_of_init": hidden("open_environ_of_init")}),
    *on_init("exec", "a_script", {
        "kill_init": script_refused("kill -9 1"),
        "stop_init": script_refused("kill -STOP 1"),
        "slow_down_init": script_refused("renice -n 19 -p 1"),
        "limit_init": script_refused("prlimit --pid 1 --nofile=64:64"),
        "open_the_memory_of_init": script_sees_nothing(": </proc/1/mem"),
        "see_the_map_of_init": script_sees_nothing("cat /proc/1/maps"),
        "open_the_program_of_init": script_sees_nothing("cat /proc/1/exe >/dev/null"),
        "see_descriptors_of_init": script_sees_nothing("ls /proc/1/fd"),
        "enter_the_root_of_init": script_sees_nothing("ls /proc/1/root/"),
        "see_the_environment_of_init": script_sees_nothing("cat /proc/1/environ")}),
    *on_init("nodejs", "node", {
        "kill_init": refused("kill"),
        "stop_init": refused("stop"),
        "debug_init": refused("debug"),
        "slow_down_init": refused("slow_down"),
        "open_the_memory_of_init": hidden("open_memory"),
        "see_the_map_of_init": hidden("see_maps"),
        "see_the_program_of_init": hidden("see_program"),
        "see_descriptors_of_init": hidden("see_descriptors"),
        "enter_the_root_of_init": hidden("enter_root"),
        "see_the_environment_of_init": hidden("see_environment")}),
)
class Servers(Attacks):
    native = True
    installation = functools.partial(Instance, "[pool]\nidle_s_min = 600\n")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        files = {"neighbours.mjs": (FOLDER / "neighbours.mjs").read_text(encoding="utf-8")}
        cls.hearth.function("node", "nodejs", "neighbours.handle", files,
                            LIMITS.replace("128", "256"))

    def setUp(self):
        self.inits = self.inits_now()

    def tearDown(self):
        """Whatever was tried, the same sandboxes serve on."""
        self.assertLessEqual(self.inits, self.inits_now())

    def inits_now(self):
        found = set()
        for pid in self.hearth.sandbox_pids():
            with contextlib.suppress(OSError):  # a call's process ends meanwhile
                if f"NSpid:\t{pid}\t1\n" in pathlib.Path(f"/proc/{pid}/status").read_text():
                    found.add(pid)
        return found


WATCHED = ("import watchers\nfrom verdict import handle\n"
           f"watchers.watch({INIT}, {ZYGOTE})\n")
IMPORTED = ("import neighbours\nfrom verdict import handle\n"
            "neighbours.prepare()\n"
            "neighbours.make_traceable()\n")


class Zygote(Attacks):
    """What the module made at import, in the zygote, a call must not turn on it."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        files = {**MODULES, "imported.py": IMPORTED}
        cls.hearth.function("imported", "python3", "imported.handle", files,
                            "concurrency_max = 1\n" + LIMITS)

    def check_handle(self, way, number):
        twin = self.outside("neighbours.signal_maker_outside", way, signal.SIGUSR2)
        self.assertEqual(twin, (True, "0"))
        found = self.inside("neighbours.signal_maker", way, number, function="imported")
        # Messages do not bring such a handle: its option is not there to set.
        self.assertEqual(found, (False, "ENOPROTOOPT" if way == "message" else "EPERM"))
        # A handler's work would wait in the zygote and be done in the next call.
        found = self.inside("neighbours.signals_so_far", function="imported")
        self.assertEqual(found, (False, "none"))

    def check_memory(self, name):
        twin = self.outside("neighbours.open_memory_of_maker_outside", name)
        self.assertEqual(twin, (True, "0"))
        found = self.inside("neighbours.open_memory_of_maker", name, function="imported")
        self.assertIn(found, ((False, "ENOENT"), (False, "EACCES")))

    def test_cannot_write_memory_of_the_zygote_by_a_folder_made_at_import(self):
        self.check_memory("mem")

    def test_cannot_write_the_memory_badness_of_the_zygote_by_a_folder_made_at_import(self):
        self.check_memory("oom_score_adj")

    def test_cannot_open_memory_of_a_zygote_that_made_itself_traceable(self):
        found = self.outside("neighbours.read_memory", 0)
        self.assertTrue(found.worked, found.detail)
        found = self.inside("neighbours.read_memory", ZYGOTE, function="imported")
        self.assertEqual(found, (False, "ENOENT"))


for way in ("folder", "peer", "message"):
    for each in (signal.SIGKILL, signal.SIGSTOP, signal.SIGUSR2, signal.SIGINT):
        name = f"test_cannot_send_{each.name}_to_the_zygote_by_a_{way}_made_at_import"
        setattr(Zygote, name, lambda self, way=way, number=each: self.check_handle(way, number))


class HalfMade(Attacks):
    """A process is closed to its user from its first moment, not only once it is set up."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        files = {**MODULES, "watched.py": WATCHED}
        for name in ("watched", "rewatched"):
            cls.hearth.function(name, "python3", "watched.handle", files,
                                "concurrency_max = 1\n" + LIMITS)

    def setUp(self):
        twin = self.outside("watchers.caught_outside", place="scratch")
        self.assertTrue(twin.worked, twin.detail)

    def test_cannot_catch_a_process_that_the_zygote_makes(self):
        """Nearer than a call can get: the import's processes live while the first one is made."""
        found = self.inside("watchers.caught", function="watched")
        self.assertEqual(found, (False, "nothing"))
        found = self.inside("watchers.caught", function="watched")
        self.assertEqual(found, (False, "nobody looks"))

    def test_cannot_catch_the_process_of_the_next_call(self):
        self.inside("watchers.caught", function="rewatched")
        found = self.inside("watchers.watch", INIT, ZYGOTE, function="rewatched")
        self.assertTrue(found.worked, found.detail)
        found = self.inside("watchers.caught", function="rewatched")
        self.assertEqual(found, (False, "nobody looks"))


if __name__ == "__main__":
    unittest.main()
