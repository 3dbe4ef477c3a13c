"""gpu_check with programs that only pretend: what it says of each kind of outcome, and that no step stops the next."""
import json
import os
import subprocess
import sys
import tempfile
import unittest

from support import ROOT

PASSING = "echo '[       OK ] A.B (1 ms)'; echo '[  PASSED  ] 3 tests.'"
BENCH = """
if [ "$1" = info ]; then echo '{"cuda": {"devices": DEVICES, "status": "STATUS"}}'; exit 0; fi
while [ $# -gt 0 ]; do [ "$1" = --json ] && echo '{"cases": [{"status": "ok"}]}' >"$2"; shift; done
"""


class GpuCheck(unittest.TestCase):
    def check(self, tests=PASSING, devices='["Card"]', sanitizer="echo '========= ERROR SUMMARY: 0 errors'", seconds=60,
              only="device,tests,memcheck,bench"):
        with tempfile.TemporaryDirectory() as folder:
            def program(name, text):
                path = os.path.join(folder, name)
                with open(path, "w", encoding="utf-8") as file:
                    file.write("#!/bin/sh\n" + text + "\n")
                os.chmod(path, 0o755)
            os.makedirs(os.path.join(folder, "path"))
            program("emer", BENCH.replace("DEVICES", devices).replace("STATUS", "driver asleep"))
            if tests is not None:
                program("twins_gpu", tests)
            # Like the real one, runs the program behind its options.
            program("path/compute-sanitizer", "case $1 in --help) exit 0;; esac\n" + sanitizer +
                    "\nwhile [ \"${1#*/}\" = \"$1\" ]; do shift; done\nexec \"$@\"")
            out = os.path.join(folder, "out")
            environment = {**os.environ, "PATH": os.path.join(folder, "path") + ":" + os.environ["PATH"]}
            done = subprocess.run([sys.executable, "-B", os.path.join(ROOT, "tools", "gpu_check"), "--out", out,
                                   "--programs", folder, "--seconds", str(seconds), "--only", only],
                                  capture_output=True, text=True, check=False, env=environment)
            with open(os.path.join(out, "summary.json"), encoding="utf-8") as file:
                summary = json.load(file)
            self.assertTrue(os.path.exists(os.path.join(out, "results.tar.gz")))
            self.assertTrue(os.path.exists(os.path.join(out, "summary.txt")))
            self.assertEqual(summary["ok"], done.returncode == 0, done.stdout + done.stderr)
        return done.returncode, {step["step"]: (step["status"], step["detail"]) for step in summary["steps"]}

    def test_all_good(self):
        code, steps = self.check()
        self.assertEqual(code, 0, steps)
        self.assertEqual({name: status for name, (status, _) in steps.items()},
                         {"device": "ok", "tests": "ok", "memcheck": "ok", "bench": "ok"})

    def test_no_device_is_said_and_the_other_steps_still_run(self):
        code, steps = self.check(devices="[]")
        self.assertEqual(code, 1)
        self.assertEqual(steps["device"], ("failed", "no CUDA device: driver asleep"))
        self.assertEqual(steps["bench"][0], "ok")

    def test_failing_and_skipping_tests_fail(self):
        self.assertEqual(self.check(tests="echo '[  FAILED  ] 1 test, listed below:'; exit 1")[1]["tests"][0], "failed")
        skipping = PASSING + "; echo '[  SKIPPED ] 1 test, listed below:'"
        self.assertEqual(self.check(tests=skipping)[1]["tests"][0], "failed")
        self.assertEqual(self.check(tests="exit 0")[1]["tests"][0], "failed")  # ran nothing

    def test_what_is_missing_is_reported(self):
        code, steps = self.check(tests=None)
        self.assertEqual((code, steps["tests"][0], steps["memcheck"][0]), (1, "missing", "missing"))

    def test_findings_of_the_sanitizer_fail(self):
        code, steps = self.check(sanitizer="echo '========= ERROR SUMMARY: 2 errors'")
        self.assertEqual((code, steps["memcheck"][0]), (1, "failed"))
        self.assertIn("2 reported", steps["memcheck"][1])

    def test_a_step_that_hangs_is_stopped(self):
        code, steps = self.check(tests="sleep 30", seconds=4, only="tests,bench")
        self.assertEqual((code, steps["tests"][0], steps["bench"][0]), (1, "failed", "ok"))
        self.assertIn("ran out of time", steps["tests"][1])


if __name__ == "__main__":
    unittest.main()
