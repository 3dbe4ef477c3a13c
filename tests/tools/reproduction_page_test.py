import contextlib
import io
import json
import os
import tempfile
import unittest
from unittest import mock

from support import tool

page = tool("tools/reproduction_page")

TABLE = {"id": "defects_deam", "title": "What a switch | is worth", "measured": "DEAM, 3 seeds", "notes": "", "listed": True,
         "columns": [{"key": "switch", "title": "switch", "unit": "", "digits": -1},
                     {"key": "mrr", "title": "MRR", "unit": "", "digits": 3}],
         "rows": [{"switch": "loss.cca, quoted", "mrr": 0.0123456789}, {"switch": "none", "mrr": None}]}
LONG = {"id": "ranks", "title": "Ranks", "measured": "DEAM", "notes": "", "listed": False,
        "columns": [{"key": "rank", "title": "rank", "unit": "", "digits": -1}],
        "rows": [{"rank": i} for i in range(page.LONG + 1)]}
RESULTS = {"format": "emer-results-1", "created_by": "emer 0.1.0 (abc)", "date": "2026-01-02T03:04:05Z",
           "command": "emer reproduce defects --data /home/x/deam.safetensors",
           "environment": {"cpu": "Some CPU", "threads": 2, "device": "cpu: no CUDA", "system": "Linux secret"},
           "data": [{"name": "deam", "label": "DEAM, 10 songs", "path": "/home/x/deam.safetensors", "checksum": "0",
                     "as_published": False, "generated": True, "variants": {"v": "/home/x/v.safetensors"}}],
           "experiments": [{"name": "defects", "preset": "small", "remarks": [], "tables": [TABLE, LONG],
                            "figures": [{"kind": "bar", "id": "worth", "title": "Worth", "caption": "a\nb", "table": "defects_deam"},
                                        {"kind": "cdf", "id": "cdf", "title": "Ranks", "caption": "", "table": "ranks"}],
                            "made": {"created_by": "emer 0.1.0 (abc)", "date": "2026-01-01T00:00:00Z",
                                     "command": "/opt/emer reproduce defects --out=/tmp/o/small --set train.epochs=3"}}]}
MARKDOWN = ("# defects\n\nPreset: small.\n\n## What a switch | is worth\n\nDEAM, 3 seeds\n\n| switch | MRR |\n|---|---:|\n"
            "| loss.cca, quoted | 0.012 |\n| none | – |\n")
CSV = 'switch,mrr\r\n"loss.cca, quoted",0.0123456789\r\nnone,\r\n'


class ReproductionPage(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.docs = os.path.join(folder.name, "docs")
        self.out = os.path.join(folder.name, "small")
        for path, text in {
                "docs/reproduction.md": f"# Page\n{page.BEGIN}\nold\n{page.END}\nafter\n", "small/results.json": json.dumps(RESULTS),
                "small/defects.md": MARKDOWN, "small/defects_deam.csv": CSV, "small/ranks.csv": "rank\r\n",
                "small/figures/worth.svg": "<svg/>", "small/figures/worth-m2e.svg": "<svg/>",
                "small/figures/worth_other.svg": "<svg/>", "small/figures/cdf.svg": "<svg/>"}.items():
            page.write(os.path.join(folder.name, path), text)

    def run_tool(self, *words):
        said = io.StringIO()
        with mock.patch("sys.argv", ["reproduction_page", "--docs", self.docs, *words]), contextlib.redirect_stdout(said):
            code = page.main()
        return code, said.getvalue()

    def stored(self, name):
        return os.path.join(self.docs, "results", "small", name)

    def test_results_are_taken_over_and_stay_in_agreement(self):
        self.assertEqual(self.run_tool("--check")[0], 1)
        self.assertEqual(self.run_tool(self.out)[0], 0)
        self.assertEqual(self.run_tool("--check"), (0, "page and results agree\n"))
        text = page.read(os.path.join(self.docs, "reproduction.md"))
        self.assertTrue(text.startswith("# Page\n") and text.endswith("\nafter\n") and "old" not in text)
        for part in ("#### small defects\n", "[defects](#small-defects)", "##### What a switch | is worth\n", "| loss.cca, quoted | 0.012 |", "Some CPU, 2 threads, no GPU",
                     "says nothing about music", "Made 2026-01-01", "emer reproduce defects --out=small --set train.epochs=3",
                     "(results/small/figures/worth.svg)", "(results/small/figures/worth-m2e.svg)", "*a b*"):
            self.assertIn(part, text)
        self.assertNotIn("cdf", text)
        self.assertNotIn("worth_other", text)

    def test_nothing_of_the_machine_is_stored(self):
        self.run_tool(self.out)
        text = page.read(self.stored("results.json"))
        for part in ("/home", "/opt", "/tmp", "secret"):
            self.assertNotIn(part, text)
        self.assertEqual(sorted(os.listdir(self.stored("."))), ["defects.md", "defects_deam.csv", "figures", "results.json"])

    def test_a_changed_number_is_found_wherever_it_was_changed(self):
        self.run_tool(self.out)
        for path, old, new, said in (
                (os.path.join(self.docs, "reproduction.md"), "0.012", "0.013", "is not what"),
                (self.stored("defects.md"), "| none | – |\n", "", "is not that of results.json"),
                (self.stored("defects_deam.csv"), "0.0123456789", "0.0123456788", "defects_deam.csv:2"),
                (self.stored("defects_deam.csv"), "none,", "none,0", "defects_deam.csv:3"),
                (self.stored("results.json"), "\"none\"", "\"nune\"", "defects_deam.csv:3")):
            before = page.read(path)
            page.write(path, before.replace(old, new, 1))
            code, output = self.run_tool("--check")
            self.assertEqual(code, 1, (path, new))
            self.assertIn(said, output)
            page.write(path, before)
        page.write(self.stored("left_over.csv"), "x\r\n")
        self.assertIn("left_over.csv: belongs to no table", self.run_tool("--check")[1])

    def test_what_is_no_folder_of_results_is_refused_and_changes_nothing(self):
        before = page.read(os.path.join(self.docs, "reproduction.md"))
        for text in ("{", "[]", "{\"format\": \"other\"}"):
            page.write(os.path.join(self.out, "results.json"), text)
            self.assertEqual(self.run_tool(self.out)[0], 1)
        os.remove(os.path.join(self.out, "results.json"))
        self.assertEqual(self.run_tool(self.out)[0], 1)
        self.assertEqual(page.read(os.path.join(self.docs, "reproduction.md")), before)

    def test_a_new_version_replaces_the_old_one_whole(self):
        self.run_tool(self.out)
        page.write(os.path.join(self.out, "results.json"), json.dumps({**RESULTS, "experiments": [
            {**RESULTS["experiments"][0], "tables": [{**TABLE, "id": "other"}], "figures": []}]}))
        os.rename(os.path.join(self.out, "defects_deam.csv"), os.path.join(self.out, "other.csv"))
        self.assertEqual(self.run_tool(self.out)[0], 0)
        self.assertEqual(sorted(os.listdir(self.stored("."))), ["defects.md", "other.csv", "results.json"])


if __name__ == "__main__":
    unittest.main()
