"""The launch scripts with stand-ins for the schedulers' programs: what is started, what becomes of exit codes and signals."""
import os
import signal
import subprocess
import tempfile
import time
import unittest

from support import ROOT

SLURM = os.path.join(ROOT, "tools/launch/slurm.sh")
MPIRUN = os.path.join(ROOT, "tools/launch/mpirun.sh")


class Scripts(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def program(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write("#!/usr/bin/env bash\n" + text + "\n")
        os.chmod(self.path(name), 0o755)

    def text(self, name):
        if not os.path.exists(self.path(name)):
            return ""
        with open(self.path(name), encoding="utf-8") as file:
            return file.read()

    def environment(self, **more):
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "EMER"))}
        return {**kept, "PATH": self.folder.name + ":" + os.environ["PATH"], **more}

    def slurm(self, code, *arguments, **environment):
        self.program("srun", f'echo "$EMER_THREADS $*" >{self.path("srun.txt")}; exit {code}')
        self.program("scontrol", f'echo "$*" >>{self.path("scontrol.txt")}')
        return subprocess.run(["bash", SLURM, *arguments], capture_output=True, text=True, check=False,
                              env=self.environment(SLURM_JOB_ID="77", **environment))

    def test_slurm_starts_a_run_that_goes_on(self):
        done = self.slurm(0, "a.yaml", "runs/a", "--set", "train.epochs=3", SLURM_CPUS_PER_TASK="8", SLURM_GPUS_ON_NODE="4")
        self.assertEqual(done.returncode, 0)
        self.assertEqual(self.text("srun.txt").strip(),
                         "8 --mpi=none --kill-on-bad-exit=0 --wait=120 "
                         "emer train a.yaml --run runs/a --resume auto --set train.epochs=3")
        self.assertEqual(self.text("scontrol.txt"), "")

    def test_slurm_on_the_cpu_takes_mpi(self):
        self.slurm(0, "a.yaml", "runs/a")
        self.assertTrue(self.text("srun.txt").startswith("1 --mpi=pmix "))

    def test_slurm_queues_again_what_was_stopped_or_lost(self):
        for code, restarts, again in ((5, "9", True), (4, "2", True), (4, "3", False), (1, "0", False), (3, "0", False)):
            with self.subTest(code=code, restarts=restarts):
                if os.path.exists(self.path("scontrol.txt")):
                    os.remove(self.path("scontrol.txt"))
                done = self.slurm(code, "a.yaml", "runs/a", SLURM_RESTART_COUNT=restarts)
                self.assertEqual(done.returncode, 0 if again else code)
                self.assertEqual(self.text("scontrol.txt"), "requeue 77\n" if again else "")

    def test_slurm_wants_configuration_and_run(self):
        self.assertEqual(self.slurm(0, "a.yaml").returncode, 2)
        self.assertEqual(self.text("srun.txt"), "")

    def test_slurm_asks_for_a_signal_before_the_end(self):
        with open(SLURM, encoding="utf-8") as file:
            head = [line for line in file.read().splitlines() if line.startswith("#SBATCH")]
        for part in ("--signal=USR1@", "--requeue", "--open-mode=append", "--ntasks-per-node="):
            self.assertEqual(len([line for line in head if part in line]), 1, part)

    def test_mpirun_passes_its_options_and_the_exit_code(self):
        self.program("mpirun", f'echo "$*" >{self.path("mpirun.txt")}; exit 3')
        done = subprocess.run(["bash", MPIRUN, self.hosts(), "train", "a.yaml"], check=False,
                              env=self.environment(EMER_THREADS="16", EMER_MPIRUN_OPTIONS="--mca x y"))
        self.assertEqual(done.returncode, 3)
        self.assertEqual(self.text("mpirun.txt").strip(),
                         f"--quiet --hostfile {self.hosts()} --bind-to none -x EMER_THREADS=16 --mca x y emer train a.yaml")

    def test_mpirun_says_that_there_is_no_hostfile(self):
        self.program("mpirun", "exit 1")
        done = subprocess.run(["bash", MPIRUN, self.path("none"), "train"], check=False, env=self.environment(),
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 3)
        self.assertIn(self.path("none"), done.stderr)

    def test_a_signal_that_mpirun_misses_is_sent_again(self):
        self.program("mpirun", f"trap '' USR1\necho ready >{self.path('said.txt')}\nsleep 0.5\n"
                               "trap 'exit 5' USR1\nwhile true; do sleep 0.05; done")
        self.assertEqual(self.stopped().returncode, 5)

    def test_a_signal_before_the_ranks_is_a_stop(self):
        self.program("mpirun", f"echo ready >{self.path('said.txt')}\nwhile true; do sleep 0.05; done")
        done = self.stopped()
        self.assertEqual(done.returncode, 5)
        self.assertIn("emer: error: stopped by a signal", done.stderr)

    def hosts(self):
        path = self.path("hosts")
        with open(path, "w", encoding="utf-8") as file:
            file.write("localhost\n")
        return path

    def stopped(self):
        with subprocess.Popen(["bash", MPIRUN, self.hosts(), "train"], env=self.environment(), text=True,
                              stderr=subprocess.PIPE) as process:
            while "ready" not in self.text("said.txt"):
                time.sleep(0.01)
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=60)
        return subprocess.CompletedProcess([], process.returncode, stderr=errors)

    def test_mpirun_turns_sigterm_into_what_reaches_the_ranks(self):
        self.program("mpirun", f"trap 'echo saved >>{self.path('said.txt')}; exit 5' USR1\n"
                               f"echo ready >{self.path('said.txt')}\nwhile true; do sleep 0.05; done")
        process = subprocess.Popen(["bash", MPIRUN, self.hosts(), "train"], env=self.environment())
        while "ready" not in self.text("said.txt"):
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(timeout=60), 5)
        self.assertEqual(self.text("said.txt"), "ready\nsaved\n")


if __name__ == "__main__":
    unittest.main()
