import json
import os
import tempfile
import unittest

from support import tool

report = tool("tools/bench_report")


def case(name, precision, median, **more):
    return {"name": name, "group": name.split("_")[0], "precision": precision, "shape": {}, "description": "", "status": "ok",
            "median": median, "p10": median, "p90": median, "cv": 0.01, "seconds": [median] * 3, "wrong": 0,
            "launch": "graph", **more}


GPU = {"schema": "emer-bench-2", "device": "cuda", "device_name": "Card", "date": "2026-01-02", "git_hash": "abc",
       "driver": "1.2", "cpu": "cpu", "threads": 1, "build": {}, "cases": [
           case("kl_32768", "bf16", 0.040, flop_per_s=6.6e14, fraction_of_product_rate=0.85),
           case("gru_after_512x60x2x512", "bf16", 0.0005),
           case("step_deam_released", "bf16", 0.0009),
           {**case("kl_131072", "bf16", 0), "status": "skipped", "reason": "no CUDA twin"}]}


class BenchReport(unittest.TestCase):
    def write(self, folder, name, data):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            json.dump(data, file)

    def goal(self, text, number):
        return next(line for line in text.split("\n") if line.startswith(f"| {number} |")).split("|")[-2].strip()

    def test_nothing_measured_says_so_everywhere(self):
        with tempfile.TemporaryDirectory() as folder:
            text = report.document(folder)
        for number, *_ in report.GOALS:
            self.assertEqual(self.goal(text, number), "not measured", number)

    def test_measured_cells_come_from_the_files(self):
        compare = {"schema": "emer-compare-1", "emer": {k: v for k, v in GPU.items() if k != "cases"},
                   "peers": [{"peer": "torch", "version": "9", "status": "ok"}],
                   "rows": [{"name": "gru_after_512x60x2x512", "precision": "bf16", "emer": {"status": "ok", "median": 0.0005},
                             "peers": [{"peer": "torch", "variant": "cuDNN", "status": "ok", "median": 0.0015, "ratio": 3.0},
                                       {"peer": "torch", "variant": "loop", "status": "ok", "median": 0.0001, "ratio": 0.2}]}]}
        with tempfile.TemporaryDirectory() as folder:
            self.write(folder, "gpu.json", GPU)
            self.write(folder, "peers.json", compare)
            text = report.document(folder)
        self.assertEqual(self.goal(text, "G1"), "85%, 40 ms")
        self.assertEqual(self.goal(text, "G8"), "3.0x, 0.5 ms")
        self.assertEqual(self.goal(text, "G10"), "released 0.9 ms, 30,003 steps 27 s")
        self.assertEqual(self.goal(text, "G9"), "not measured")
        self.assertIn("skipped: no CUDA twin", text)
        self.assertIn("Card, date 2026-01-02, commit abc, driver 1.2", text)

    def test_peers_of_another_run_are_not_used(self):
        compare = {"schema": "emer-compare-1", "emer": {"date": "2026-01-02", "git_hash": "other", "device_name": "Card"},
                   "peers": [], "rows": []}
        with tempfile.TemporaryDirectory() as folder:
            self.write(folder, "gpu.json", GPU)
            self.write(folder, "peers.json", compare)
            self.assertIsNone(report.Results(folder).compare)


if __name__ == "__main__":
    unittest.main()
