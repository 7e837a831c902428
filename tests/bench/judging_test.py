# SPDX-License-Identifier: Apache-2.0
"""What the figures' verdicts mean: from made-up rounds, no measurement."""

import importlib.machinery
import importlib.util
import pathlib
import unittest

import measure
import table

HERE = pathlib.Path(__file__).resolve().parent
loader = importlib.machinery.SourceFileLoader("compare", str(HERE / "compare"))
compare = importlib.util.module_from_spec(importlib.util.spec_from_loader("compare", loader))
loader.exec_module(compare)

RATE = measure.Row("rate", "a rate", "calls/s", ("a", "n"), ("b", "n"), ">= 0.8", base=">= 0.5")
TIME = measure.Row("time", "a time", "us", ("a", "n"), ("b", "n"), "<= 1.5")


def judged(row, ratios, lost=0.0, reference=100):
    rounds = [{"a": {"n": each * reference}, "b": {"n": reference}} for each in ratios]
    return measure.judge(row, rounds, [lost] * len(ratios))


class Verdicts(unittest.TestCase):
    def test_the_median_decides_where_rounds_agree(self):
        self.assertEqual("met", judged(RATE, [0.79, 0.81, 0.82, 0.83, 0.84])["verdict"])
        self.assertEqual("met", judged(TIME, [1.2, 1.3, 1.4, 1.45, 1.55])["verdict"])
        self.assertEqual("not met", judged(TIME, [1.6, 1.7, 1.7, 1.7, 1.8])["verdict"])

    def test_a_wide_spread_across_the_target_withholds_it(self):
        self.assertEqual("withheld", judged(RATE, [0.5, 0.6, 0.9, 1.2, 1.3])["verdict"])

    def test_so_does_a_machine_that_others_had(self):
        ratios = [0.78, 0.79, 0.81, 0.82, 0.83]
        self.assertEqual("met", judged(RATE, ratios)["verdict"])
        self.assertEqual("withheld", judged(RATE, ratios, lost=0.5)["verdict"])

    def test_a_wide_spread_on_one_side_of_the_target_does_not(self):
        self.assertEqual("met", judged(RATE, [0.9, 1.0, 1.5, 2.0, 2.5])["verdict"])

    def test_the_older_target_is_named_when_only_that_holds(self):
        self.assertEqual("not met (base met)", judged(RATE, [0.6] * 5)["verdict"])
        self.assertEqual("not met", judged(RATE, [0.4] * 5)["verdict"])

    def test_without_a_reference_the_number_counts(self):
        row = measure.Row("mb", "memory", "MB", ("a", "n"), target="< 64")
        found = measure.judge(row, [{"a": {"n": 40}}], [])
        self.assertEqual(("met", 40), (found["verdict"], found["ratio"]))

    def test_a_machine_is_not_quiet_when_the_probe_lost_time(self):
        self.assertTrue(judged(RATE, [0.8] * 5)["quiet"])
        self.assertFalse(judged(RATE, [0.8] * 5, lost=0.5)["quiet"])


class Comparing(unittest.TestCase):
    def worse(self, row, old, new, lost=0.0, reference=100):
        before, after = judged(row, old), judged(row, new, lost, reference)
        fell, doubtful = compare.worse({row.key: before}, {row.key: after})
        return fell, list(doubtful)

    def test_a_fall_of_more_than_a_fifth_is_worse(self):
        self.assertEqual((["rate"], []), self.worse(RATE, [0.8] * 5, [0.6] * 5))
        self.assertEqual((["time"], []), self.worse(TIME, [1.0] * 5, [1.4] * 5))

    def test_a_smaller_fall_and_a_gain_are_not(self):
        self.assertEqual(([], []), self.worse(RATE, [0.8] * 5, [0.7] * 5))
        self.assertEqual(([], []), self.worse(RATE, [0.8] * 5, [1.6] * 5))
        self.assertEqual(([], []), self.worse(TIME, [1.0] * 5, [0.5] * 5))

    def test_a_fall_on_a_busy_machine_is_not_judged(self):
        self.assertEqual(([], ["rate"]), self.worse(RATE, [0.8] * 5, [0.6] * 5, lost=0.5))
        self.assertEqual(([], ["rate"]), self.worse(RATE, [0.8] * 5, [0.3, 0.4, 0.6, 0.7, 0.9]))

    def test_nor_is_a_fall_from_what_was_recorded_on_a_busy_machine(self):
        before = judged(RATE, [0.8] * 5, lost=0.5)
        after = judged(RATE, [0.6] * 5)
        self.assertEqual(([], {"rate": "the machine was busy"}),
                         compare.worse({"rate": before}, {"rate": after}))

    def test_a_fall_beside_another_reference_is_not_judged(self):
        self.assertEqual((["rate"], []), self.worse(RATE, [0.8] * 5, [0.6] * 5, reference=110))
        for reference in (80, 120):
            self.assertEqual(([], ["rate"]),
                             self.worse(RATE, [0.8] * 5, [0.6] * 5, reference=reference))

    def test_nor_has_a_figure_without_one_to_agree(self):
        row = measure.Row("mb", "memory", "MB", ("a", "n"), target="< 64")
        before, after = (measure.judge(row, [{"a": {"n": mb}}], [0.0]) for mb in (20, 30))
        self.assertEqual((["mb"], {}), compare.worse({"mb": before}, {"mb": after}))

    def test_figures_of_another_machine_are_not_compared(self):
        here = {"processor": "AMD EPYC", "cores": 2, "limits": "strict", "kernel": "6.1"}
        self.assertEqual([], compare.differences(here, {**here, "kernel": "6.18"}))
        self.assertEqual(["cores: 2, now 4"], compare.differences(here, {**here, "cores": 4}))

    def test_a_figure_that_could_not_be_measured_is_worse(self):
        gone = measure.failed(RATE, "it broke")
        self.assertEqual((["rate"], {}), compare.worse({"rate": judged(RATE, [0.8] * 5)},
                                                       {"rate": gone}))

    def test_a_change_inside_the_spread_is_called_so(self):
        old, new = judged(RATE, [0.7, 0.75, 0.8, 0.85, 0.9]), judged(RATE, [0.82] * 5)
        self.assertEqual("within the spread", compare.change(old, new)[3])
        self.assertEqual("better", compare.change(judged(RATE, [0.6] * 5), new)[3])


class Files(unittest.TestCase):
    def test_rows_measured_again_take_the_place_of_kept_ones(self):
        measurements = [measure.Measurement("m", [RATE, TIME], None)]
        kept = [judged(TIME, [1.0] * 5), judged(RATE, [0.5] * 5)]
        rows = table.merged(kept, [judged(RATE, [0.9] * 5)], measurements)
        self.assertEqual([("rate", 0.9), ("time", 1.0)],
                         [(row["key"], row["ratio"]) for row in rows])


if __name__ == "__main__":
    unittest.main()
