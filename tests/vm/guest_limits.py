# SPDX-License-Identifier: Apache-2.0
"""Each limit is the kernel's, holds exactly, and ends in its own error and record."""

import pathlib
import unittest

import functions
from service import UNIT, UNIT_CGROUP, Service, counter, run, show
from waiting import Background, until

MB = 1 << 20
LIMIT_S = 120  # the guest is emulated


class Limits(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.hearth = Service()
        functions.deploy(cls.hearth)

    def check(self, got, status, kind):
        self.assertEqual((got[0], got[1]["kind"], got[2]["outcome"]), (status, kind, kind), got[1])
        self.assertEqual(got[2]["limits"], "strict")
        return got[2]

    # Memory

    def test_memory_up_to_the_limit_is_given(self):
        mb = functions.MEMORY_MB - 16  # less what the interpreter takes
        status, answer, record = self.hearth.call("tight", "allocate", mb=mb)
        self.assertEqual((status, answer), (200, mb))
        self.assertGreater(record["memory_peak_bytes"], mb * MB)
        self.assertLessEqual(record["memory_peak_bytes"], functions.MEMORY_MB * MB)

    def test_memory_beyond_the_limit_ends_the_call_and_not_one_page_more_was_used(self):
        record = self.check(self.hearth.call("tight", "allocate"), 502, "out_of_memory")
        self.assertLessEqual(record["memory_peak_bytes"], functions.MEMORY_MB * MB)
        self.assertGreater(record["memory_peak_bytes"], (functions.MEMORY_MB - 1) * MB)

    def test_a_child_that_runs_out_of_memory_takes_the_whole_sandbox_with_it(self):
        self.check(self.hearth.call("tight", "allocate_in_child"), 502, "out_of_memory")

    def test_the_peak_says_that_it_is_the_sandbox_s_since_this_kernel_cannot_reset_it(self):
        release = pathlib.Path("/proc/sys/kernel/osrelease").read_text()
        self.assertLess(tuple(map(int, release.split(".")[:2])), (6, 12))
        first = self.hearth.call("steady", "allocate", mb=24)[2]
        then = self.hearth.call("steady", "sleep", seconds=0)[2]
        self.assertEqual({first["memory_peak_source"], then["memory_peak_source"]},
                         {"peak_lifetime"})
        self.assertGreater(then["memory_peak_bytes"], 24 * MB)

    def test_no_memory_of_a_sandbox_is_swapped_where_the_host_would(self):
        """The twin: the same in a unit with the same limit, which swaps instead."""
        self.assertGreater(counter_of("/proc/meminfo", "SwapTotal:"), 0)
        before = counter_of("/proc/vmstat", "pswpout")
        self.check(self.hearth.call("tight", "allocate"), 502, "out_of_memory")
        self.assertEqual(counter_of("/proc/vmstat", "pswpout"), before)
        code = f"x = [bytearray(b'x' * {MB}) for _ in range({functions.MEMORY_MB + 16})]"
        limit = f"MemoryMax={functions.MEMORY_MB}M"
        run("systemd-run", "--wait", "--quiet", "-p", limit, "python3", "-c", code)
        self.assertGreater(counter_of("/proc/vmstat", "pswpout"), before)

    def test_one_that_runs_out_of_memory_touches_no_other(self):
        pid, kills = self.hearth.pid(), counter(UNIT_CGROUP / "memory.events", "oom_kill")
        neighbour = Background(self.hearth.call, "steady", "sleep", seconds=8)
        until(lambda: self.hearth.running() == 1, "it runs", LIMIT_S)
        self.check(self.hearth.call("tight", "allocate"), 502, "out_of_memory")
        status, answer, record = neighbour.result(LIMIT_S)
        self.assertEqual((status, answer, record["outcome"]), (200, "slept", "ok"))
        self.assertGreater(counter(UNIT_CGROUP / "memory.events", "oom_kill"), kills)
        self.assertEqual((show(UNIT, "ActiveState"), self.hearth.pid()), ("active", pid))

    # Processes

    def test_as_many_processes_as_the_limit_says_and_not_one_more(self):
        # The call's own process, and the one that it was forked from, count too.
        most = functions.PROCESSES_MAX - 2
        status, answer, _ = self.hearth.call("tight", "fork", count=most)
        self.assertEqual((status, answer), (200, most))
        got = self.hearth.call("tight", "fork", count=most + 1)
        self.check(got, 502, "processes_exceeded")

    # Processor

    def test_a_fifth_of_a_processor_is_a_fifth_and_the_record_tells_the_wait(self):
        status, wall, record = self.hearth.call("slow", "burn", seconds=1)
        self.assertEqual(status, 200)
        cpu_us = record["cpu_user_us"] + record["cpu_system_us"]
        self.assertGreaterEqual(cpu_us, 1_000_000)
        # Each period of 20 ms gives a fifth of it; the first and the last may be partly outside.
        share = functions.SLOW_PERCENT / 100
        self.assertLessEqual(cpu_us, share * (record["run_us"] + 2 * 20_000) * 1.05)
        self.assertGreater(wall, 1 / share * 0.9)
        self.assertGreater(record["throttled_us"], 1_000_000)

    def test_one_that_may_have_every_processor_is_not_held_back(self):
        status, _, record = self.hearth.call("steady", "burn", seconds=1)
        self.assertEqual((status, record["throttled_us"]), (200, 0))


def counter_of(path, key):
    for line in pathlib.Path(path).read_text().splitlines():
        words = line.split()
        if words[0] == key:
            return int(words[1])
    raise KeyError(key)
