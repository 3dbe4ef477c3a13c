"""examples/embeddings.py runs on what emer writes, and what it prints is so."""
import ast
import os
import re
import subprocess
import sys
import unittest

import support

support.needs("numpy", "safetensors")
import numpy as np  # noqa: E402
from safetensors.numpy import load_file  # noqa: E402

EXAMPLE = os.path.join(support.ROOT, "examples/embeddings.py")


class Example(support.Folder):
    def run_on(self, name, song, *settings):
        folder = self.path(name)
        os.makedirs(folder)
        checkpoint = support.train_explored(folder, *settings)
        embeddings = os.path.join(folder, "e.safetensors")
        support.emer("evaluate", checkpoint, "--embeddings", embeddings)
        done = subprocess.run([sys.executable, "-B", EXAMPLE, checkpoint, os.path.join(folder, "songs.safetensors"),
                               embeddings, str(song)], capture_output=True, text=True, check=False)
        return done, load_file(embeddings)

    def check(self, name, song, *settings):
        done, exported = self.run_on(name, song, *settings)
        self.assertEqual(done.returncode, 0, done.stderr)
        differences = [float(x) for x in re.findall(r"largest difference (\S+)", done.stdout)]
        self.assertEqual(len(differences), 2)
        # Float32 with sums of at most 96 terms of a few units, against float64.
        self.assertLess(max(differences), 1e-4)
        got = re.findall(r"^ +(\d+)  ([\d.]+)  synthetic song (\d+)$", done.stdout, re.M)
        self.assertEqual(len(got), 5)
        ids, mean = exported["song_id"].tolist(), exported["music.mean"].astype(np.float64)
        distances = {i: np.sqrt(((mean[ids.index(i)] - mean[ids.index(song)]) ** 2).sum()) for i in ids if i != song}
        farthest = 0
        for number, distance, title in got:
            self.assertEqual(number, title)
            self.assertAlmostEqual(distances.pop(int(number)), float(distance), delta=1e-3)
            farthest = max(farthest, float(distance))
        self.assertGreaterEqual(min(distances.values()), farthest - 1e-3)

    def test_of_a_model_with_relu(self):
        self.check("relu", 7)

    def test_of_the_papers_activations_and_an_averaged_model(self):
        self.check("average", 12, "model.activation=softplus", "model.last_activation=softplus", "train.ema=0.9",
                   "data.clip=1.5", "model.music.widths=[9, 8, 7]")

    def test_without_standardisation(self):
        self.check("plain", 3, "data.standardise=false", "data.standardise_emotion=false")

    def test_other_encoders_are_refused(self):
        done, _ = self.run_on("flat", 1, "model.music.kind=mlp")
        self.assertEqual(done.returncode, 0, done.stderr)
        config = self.path("flat/run/checkpoints/last/config.yaml")
        with open(config, encoding="utf-8") as file:
            text = file.read()
        with open(config, "w", encoding="utf-8") as file:
            file.write(text.replace("kind: mlp", "kind: bigru"))
        done = subprocess.run([sys.executable, "-B", EXAMPLE, os.path.dirname(config), "x", "y"], capture_output=True,
                              text=True, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("model.music.kind: mlp", done.stderr)

    def test_it_is_short_and_needs_little(self):
        with open(EXAMPLE, encoding="utf-8") as file:
            text = file.read()
        self.assertLessEqual(len(text.splitlines()), 60)
        imported = set()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                imported |= {name.name.split(".")[0] for name in node.names}
            if isinstance(node, ast.ImportFrom):
                imported.add(node.module.split(".")[0])
        self.assertEqual(imported - set(sys.stdlib_module_names), {"numpy", "safetensors"})


if __name__ == "__main__":
    unittest.main()
