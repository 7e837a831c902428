# SPDX-License-Identifier: Apache-2.0
"""Where everything lives in the tree of cgroups, and whether the kernel's books agree with ours."""

import pathlib
import subprocess
import time
import unittest

import functions
from service import UNIT_CGROUP, Service, counter, run
from waiting import Background, until

LIMIT_S = 120
NEEDED = {"cpu", "memory", "pids"}


def words(path):
    return set(path.read_text().split())


class Tree(unittest.TestCase):
    def setUp(self):
        self.hearth = Service()

    def test_the_daemon_moved_to_its_leaf_and_hands_on_every_controller(self):
        self.assertEqual(words(UNIT_CGROUP / "cgroup.procs"), set())
        names = {
            pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
            for pid in words(UNIT_CGROUP / "supervisor/cgroup.procs")
        }
        self.assertEqual(names, {"hearthd", "hearth-spawner"})
        base = self.hearth.cgroup_base()
        for path in (UNIT_CGROUP, base, base / "tenants", base / "tenants/default"):
            self.assertLessEqual(NEEDED, words(path / "cgroup.subtree_control"), path)

    def test_a_sandbox_has_its_own_place_with_the_limits_of_its_function(self):
        call = Background(self.hearth.call, "tight", "sleep", seconds=6)
        leaf = until(lambda: self.hearth.leaf(functions.MEMORY_MB), "a sandbox", LIMIT_S)
        base = self.hearth.cgroup_base()
        self.assertIn(str(leaf.relative_to(base).parent),
                      ("tenants/default/functions/tight", "tenants/default/generic"))
        expected = {
            "memory.max": functions.MEMORY_MB << 20,
            "memory.swap.max": 0,
            "memory.oom.group": 1,
            "pids.max": functions.PROCESSES_MAX + 1,  # and hearth-init
        }
        for name, value in expected.items():
            self.assertEqual((leaf / name).read_text().strip(), str(value), name)
        # What user hearth is, after it was taken over, may not change them.
        for name in ("memory.max", "pids.max", "cgroup.procs"):
            done = subprocess.run(
                ["setpriv", "--reuid=hearth", "--regid=hearth", "--clear-groups", "sh", "-c",
                 f"echo 1 > {leaf}/{name}"],
                capture_output=True, text=True, timeout=60)
            self.assertIn("Permission denied", done.stderr, name)
        self.assertEqual(call.result(LIMIT_S)[0], 200)

    def test_the_kernel_s_count_of_a_tenant_is_the_sum_of_its_records(self):
        run("hearth", "tenant", "create", "books")
        self.hearth.python("ledger", functions.CODE, 'reuse = "process"\n' + functions.COMMON,
                           tenant="books")
        call = lambda **event: self.hearth.call("ledger", "burn", tenant="books", **event)
        self.assertEqual(call(seconds=0)[0], 200)  # its start is no call's
        stat = self.hearth.cgroup_base() / "tenants/books/cpu.stat"
        before = self.at_rest(stat)
        parts_before = self.parts(stat.parent)
        records = [call(seconds=0.5)[2] for _ in range(4)]
        kernel_us = counter(stat, "usage_usec") - before
        parts_us = self.parts(stat.parent) - parts_before
        ours_us = sum(r["cpu_user_us"] + r["cpu_system_us"] for r in records)
        self.assertEqual({r["start"] for r in records}, {"warm"})
        self.assertGreaterEqual(ours_us, 2_000_000)
        self.assertLessEqual(ours_us, parts_us)
        # The kernel rounds each part down, and their sum once: two parts can grow by one more.
        self.assertLessEqual(ours_us, kernel_us + 1)
        # Between the last reading of a call and its process' sleep lie some instructions.
        self.assertGreater(ours_us, 0.95 * kernel_us)

    def parts(self, tenant):
        """What the kernel says that the tenant's sandboxes used, as Hearth reads it."""
        return sum(counter(stat, name) for stat in tenant.rglob("s-*/cpu.stat")
                   for name in ("user_usec", "system_usec"))

    def at_rest(self, stat):
        """The counter once the pool has prepared all for the tenant, which is no call's."""
        limit = time.monotonic() + LIMIT_S
        before, now = -1, counter(stat, "usage_usec")
        while before != now:
            self.assertLess(time.monotonic(), limit, "the tenant's sandboxes never rest")
            time.sleep(3)
            before, now = now, counter(stat, "usage_usec")
        return now

    def test_a_tenant_that_goes_leaves_no_cgroup(self):
        run("hearth", "tenant", "create", "brief")
        self.hearth.shell("once", "echo once", tenant="brief")
        folder = self.hearth.cgroup_base() / "tenants/brief"
        self.assertTrue(folder.exists())
        run("hearth", "--tenant", "brief", "delete", "once")
        run("hearth", "tenant", "delete", "brief")
        until(lambda: not folder.exists(), "the tenant's cgroup is gone", LIMIT_S)
