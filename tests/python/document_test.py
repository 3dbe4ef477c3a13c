"""docs/python.md: its commands and programs, run in order in an empty folder, do what it says."""
import csv
import os
import re
import subprocess
import unittest

import support

support.needs("numpy", "safetensors")

DOCUMENT = os.path.join(support.ROOT, "docs/python.md")


def blocks():
    """(line, language, text) of the fenced blocks."""
    with open(DOCUMENT, encoding="utf-8") as file:
        text = file.read()
    for found in re.finditer(r"^```(\w+)\n(.*?)^```$", text, re.M | re.S):
        yield text.count("\n", 0, found.start()) + 2, found[1], found[2]


class Document(support.Folder):
    def test_runs_from_top_to_bottom(self):
        os.makedirs(self.path("bin"))
        os.symlink(os.environ["EMER_PROGRAM"], self.path("bin/emer"))
        for folder in ("examples", "configs"):
            os.symlink(os.path.join(support.ROOT, folder), self.path(folder))
        environment = {**os.environ, "PATH": self.path("bin") + ":" + os.environ["PATH"], "EMER_THREADS": "1"}
        before = os.getcwd()
        self.addCleanup(os.chdir, before)
        os.chdir(self.folder)
        names = {"print": lambda *values: self.printed.append(values)}
        self.printed, ran = [], {"sh": 0, "python": 0}
        for line, language, text in blocks():
            if text.startswith("pip "):
                continue
            with self.subTest(block=f"docs/python.md:{line}"):
                if language == "sh":
                    done = subprocess.run(["bash", "-eu", "-c", text], env=environment, capture_output=True, text=True,
                                          check=False)
                    self.assertEqual(done.returncode, 0, done.stderr)
                else:
                    # Lines of the document, should one fail.
                    exec(compile("\n" * (line - 1) + text, DOCUMENT, "exec"), names)
            ran[language] += 1
        self.assertGreaterEqual(ran["sh"], 6)
        self.assertGreaterEqual(ran["python"], 10)
        self.check(names)

    def check(self, names):
        """What a reader would look at: training on the data written here learns something."""
        self.assertEqual(self.printed[0][:2], ("synthetic song 1", (80, 12)))
        said = {words[0]: words for words in self.printed}
        self.assertLess(said["loss"][3], said["loss"][1])
        evaluation = names["evaluation"]
        self.assertGreater(evaluation["m2e"]["mrr"], 1.5 * evaluation["chance"]["mrr"])
        self.assertNotEqual(names["loss"], names["moved"])
        with open(self.path("runs/python/results/retrieval_deam_corrected_m2e.csv"), newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual(len(rows), len(names["table"]["rows"]))
        for row in rows:
            self.assertIn((row["model"], *(float(row[key]) if row[key] else None for key in ("mrr", "mrr_low", "mrr_high"))),
                          self.printed)


if __name__ == "__main__":
    unittest.main()
