"""emer report as a command: what it writes, and what it says where something is missing."""
import json
import os
import signal
import subprocess
import sys
import time
import unittest

import support

if not os.path.exists(support.PROGRAM):
    print("skipped: EMER_PROGRAM does not name the emer program; ctest sets it")
    sys.exit(support.SKIPPED)
FOLDER = support.Folder()
STUB = """import sys, types
module = types.ModuleType("vl_convert")
module.javascript_bundle = lambda *_, **__: {bundle!r}
sys.modules["vl_convert"] = module
"""


def page_by_stub(bundle, *arguments, **options):
    """The command with a Python whose vl_convert gives this JavaScript: no package is needed."""
    site = os.path.join(FOLDER.path, "site")
    os.makedirs(site, exist_ok=True)
    with open(os.path.join(site, "sitecustomize.py"), "w", encoding="utf-8") as file:
        file.write(STUB.format(bundle=bundle))
    return support.emer("report", *arguments, PYTHONPATH=site, **options)


class Command(unittest.TestCase):
    def test_page_of_results_beside_them(self):
        path = support.make_results(FOLDER.path)
        said, _ = page_by_stub("var a = 1;", path)
        page = os.path.join(FOLDER.path, "report.html")
        self.assertIn("8 charts", said)
        with open(page, encoding="utf-8") as file:
            html = file.read()
        self.assertIn("<script>var a = 1;</script>", html)
        self.assertNotIn("http://", html.replace("http://www.w3.org", ""))
        with open(path, encoding="utf-8") as file:
            rows = json.load(file)["experiments"][0]["tables"][0]["rows"]
        self.assertEqual(html.count("<tr>"), len(rows) + 1 + 2)  # the data sets' table is the other one

    def test_no_python(self):
        path = support.make_results(FOLDER.path)
        page = os.path.join(FOLDER.path, "none.html")
        _, said = support.emer("report", path, "--out", page, code=2, EMER_PYTHON="/nowhere/python")
        self.assertIn("no Python at '/nowhere/python'", said)
        self.assertIn("vl-convert-python", said)
        self.assertEqual(said.count("\n"), 1)
        self.assertFalse(os.path.exists(page))

    def test_no_package(self):
        site = os.path.join(FOLDER.path, "without")
        os.makedirs(site, exist_ok=True)
        with open(os.path.join(site, "vl_convert.py"), "w", encoding="utf-8") as file:
            file.write("raise ImportError('not here')\n")
        _, said = support.emer("report", support.make_results(FOLDER.path), code=2, PYTHONPATH=site)
        self.assertIn("pip install vl-convert-python", said)
        self.assertEqual(said.count("\n"), 1)

    def test_a_package_that_cannot_stand_in_a_page(self):
        _, said = page_by_stub("'</script>'", support.make_results(FOLDER.path), code=1)
        self.assertIn("cannot stand inside a page", said)

    def test_a_signal_ends_python_and_leaves_no_files(self):
        site, temporary = os.path.join(FOLDER.path, "slow"), os.path.join(FOLDER.path, "temporary")
        for folder in (site, temporary):
            os.makedirs(folder)
        marker = os.path.join(FOLDER.path, "marker")
        with open(os.path.join(site, "vl_convert.py"), "w", encoding="utf-8") as file:
            file.write(f"import os, time\nopen({marker!r} + '_', 'w').write(str(os.getpid()))\n"
                       f"os.rename({marker!r} + '_', {marker!r})\ntime.sleep(300)\n")
        variables = {**os.environ, "EMER_THREADS": "1", "EMER_PYTHON": sys.executable, "PYTHONPATH": site,
                     "TMPDIR": temporary}
        with subprocess.Popen([support.PROGRAM, "report", support.make_results(FOLDER.path)], env=variables) as process:
            for _ in range(1200):
                if os.path.exists(marker):
                    break
                time.sleep(0.05)
            self.assertEqual(len(os.listdir(temporary)), 1)
            process.terminate()
            self.assertEqual(process.wait(60), -signal.SIGTERM)
        self.assertEqual(os.listdir(temporary), [])
        with open(marker, encoding="utf-8") as file, self.assertRaises(ProcessLookupError):
            os.kill(int(file.read()), 0)

    def test_sources_that_are_none(self):
        for source, code, part in [("/nowhere", 3, "no such run folder"), (FOLDER.path + "/..", 3, "neither a run folder"),
                                   (__file__, 3, "not JSON")]:
            _, said = support.emer("report", source, code=code)
            self.assertIn(part, said)
        _, said = support.emer("report", support.make_results(FOLDER.path), "--data", "x", code=2)
        self.assertIn("--data goes with a run", said)


if __name__ == "__main__":
    unittest.main()
