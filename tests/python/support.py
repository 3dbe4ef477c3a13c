"""The emer program and small runs of it, for tests that read its files from Python."""
import importlib.util
import os
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SKIPPED = 77  # to ctest: skipped


def needs(*packages):
    """Ends the test program as skipped where one of the packages, or the emer program, is missing."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        print(f"skipped: {sys.executable} has no {', '.join(missing)}; ./run test makes build/python, which has")
        sys.exit(SKIPPED)
    if not os.path.exists(os.environ.get("EMER_PROGRAM", "")):
        print("skipped: EMER_PROGRAM does not name the emer program; ctest sets it")
        sys.exit(SKIPPED)


def emer(*arguments, cwd=None):
    """Standard output; a failure shows what the program said."""
    done = subprocess.run([os.environ["EMER_PROGRAM"], *map(str, arguments)], capture_output=True, text=True, check=False, cwd=cwd,
                          env={**os.environ, "EMER_THREADS": "1"})
    if done.returncode:
        raise AssertionError(f"emer {' '.join(map(str, arguments))}: exit code {done.returncode}\n{done.stderr}")
    return done.stdout


class Folder(unittest.TestCase):
    """A folder for the whole class, and in it what make() leaves there."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = folder.name
        cls.make()

    @classmethod
    def make(cls):
        pass

    @classmethod
    def path(cls, name):
        return os.path.join(cls.folder, name)


def train_explored(folder, *settings, sequence=False):
    """songs.safetensors and run/, as examples/explore.yaml has them but smaller; the run's checkpoint."""
    data, run = os.path.join(folder, "songs.safetensors"), os.path.join(folder, "run")
    emer("synth", "--songs", 60, "--width", 7, "--seed", 5, *(["--sequence"] if sequence else []), "--out", data)
    choices = ["data.path=" + data, "train.epochs=3", "train.batch_size=24", "model.gru.hidden=5", "model.embedding_dim=6",
               *settings]
    emer("train", os.path.join(ROOT, "examples/explore.yaml"), "--run", run,
         *[part for choice in choices for part in ("--set", choice)])
    return os.path.join(run, "checkpoints/last")
