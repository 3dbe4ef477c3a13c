import contextlib
import io
import json
import os
import random
import sys
import tempfile
import unittest

from support import tool

grouped = tool("tools/grouped_interval")


class GroupedInterval(unittest.TestCase):
    def checkpoint(self, folder, songs, ranks, split="test"):
        evaluation = {"split": split, "songs": len(ranks), "chance": {"mrr": 0.4, "ar": 2.5}}
        evaluation["m2e"] = evaluation["e2m"] = {"ranks": ranks}
        with open(os.path.join(folder, "evaluation.json"), "w", encoding="utf-8") as file:
            json.dump(evaluation, file)
        with open(os.path.join(folder, "split.json"), "w", encoding="utf-8") as file:
            json.dump({"test": songs}, file)

    def test_groups_are_songs_of_one_piece(self):
        with tempfile.TemporaryDirectory() as folder:
            self.checkpoint(folder, [101, 205, 100, 300], [1, 2, 4, 3])
            ways, chance = grouped.read(folder, 100)
        self.assertEqual(ways["m2e"], [[1, 4], [2], [3]])
        self.assertEqual(chance["ar"], 2.5)

    def test_interval_is_as_wide_as_the_groups_differ(self):
        generator = random.Random(1)
        alike = grouped.interval([[1, 3]] * 50, 200, generator)
        self.assertEqual(alike[1], (2.0, 2.0))
        # The same ranks in groups that agree within themselves: 50 draws of 1 or 3, standard error .14.
        low, high = grouped.interval([[1, 1], [3, 3]] * 25, 2000, generator)[1]
        self.assertAlmostEqual(high - low, 2 * 1.96 * 0.1414, delta=0.08)

    def test_prints_figures_by_hand_and_refuses_another_part(self):
        with tempfile.TemporaryDirectory() as folder:
            self.checkpoint(folder, [100, 200], [1, 2])
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                sys.argv = ["grouped_interval", folder]
                grouped.main()
            self.assertIn("MRR 0.750", out.getvalue())
            self.assertIn("AR 1.5", out.getvalue())
            self.checkpoint(folder, [100, 200], [1, 2], split="validation")
            with self.assertRaises(SystemExit):
                grouped.read(folder, 100)


if __name__ == "__main__":
    unittest.main()
