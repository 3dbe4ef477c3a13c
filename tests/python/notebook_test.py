"""examples/explore.ipynb: kept without outputs, runs from top to bottom, agrees with the program."""
import contextlib
import io
import json
import os
import re
import unittest
import unittest.mock

import support

support.needs("numpy", "safetensors", "nbformat", "nbclient", "ipykernel")
import nbclient  # noqa: E402
import nbformat  # noqa: E402

NOTEBOOK = os.path.join(support.ROOT, "examples/explore.ipynb")


class Notebook(support.Folder):
    def run_and_search(self, name, *settings, **data):
        """The folder of a run with its embeddings, its evaluation, and the answers to the last cell's query."""
        folder = self.path(name)
        os.makedirs(folder)
        checkpoint = support.train_explored(folder, *settings, **data)
        support.emer("evaluate", checkpoint, "--embeddings", os.path.join(folder, "embeddings.npy"))
        with open(os.path.join(checkpoint, "evaluation.json"), encoding="utf-8") as file:
            evaluation = json.load(file)
        found = json.loads(support.emer("search", checkpoint, "--emotion", "0.6,0.4;0.2,-0.3", "--top", 5, "--json"))
        return folder, evaluation, found["answers"]

    def printed_by_jupyter(self, folder):
        notebook = nbformat.read(NOTEBOOK, 4)
        environment = {**os.environ, "EMER_EXPLORE": folder, "IPYTHONDIR": os.path.join(folder, "ipython"),
                       "JUPYTER_RUNTIME_DIR": os.path.join(folder, "jupyter"), "PYTHONDONTWRITEBYTECODE": "1"}
        nbclient.NotebookClient(notebook, timeout=120, startup_timeout=240, kernel_name="python3").execute(env=environment)
        outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
        self.assertTrue(all(output.output_type != "error" and output.get("name") != "stderr" for output in outputs))
        self.assertEqual(len([o for o in outputs if "application/vnd.vegalite.v5+json" in o.get("data", {})]), 1)
        return "".join(output.get("text", "") for output in outputs)

    def printed_here(self, folder):
        """The same cells without Jupyter, whose start takes longer than they do."""
        out, names = io.StringIO(), {"display": lambda *_, **__: None}
        with unittest.mock.patch.dict(os.environ, EMER_EXPLORE=folder), contextlib.redirect_stdout(out):
            for cell in nbformat.read(NOTEBOOK, 4).cells:
                if cell.cell_type == "code":
                    exec(compile(cell.source, cell.id, "exec"), names)
        return out.getvalue()

    def check(self, text, evaluation, answers):
        differences = [float(x) for x in re.findall(r"largest difference (\S+)", text)]
        self.assertEqual(len(differences), 6)
        self.assertLess(max(differences), 1e-4)  # float32 against float64
        songs = evaluation["songs"]
        for direction in ("m2e", "e2m"):
            line = re.search(rf"^{direction.upper()}  MRR ([\d.]+) .*AR ([\d.]+) .*\)   (\d+) of (\d+) ranks", text, re.M)
            self.assertIsNotNone(line, text)
            self.assertAlmostEqual(float(line[1]), evaluation[direction]["mrr"], delta=1e-11)
            self.assertAlmostEqual(float(line[2]), evaluation[direction]["ar"], delta=1e-3)
            self.assertEqual((int(line[3]), int(line[4])), (songs, songs))
        own = re.findall(r"^ +(\d+)  ([\d.]+)  synthetic song \d+  rated", text, re.M)
        self.assertEqual([int(song) for song, _ in own], [answer["song_id"] for answer in answers])
        for (_, score), answer in zip(own, answers):
            self.assertAlmostEqual(float(score), answer["score"], delta=2e-5)  # heads in float64, there in float32

    def test_agrees_with_the_program(self):
        folder, *expected = self.run_and_search("explored")
        self.check(self.printed_by_jupyter(folder), *expected)

    def check_here(self, name, *settings, **data):
        folder, *expected = self.run_and_search(name, *settings, **data)
        self.check(self.printed_here(folder), *expected)

    def test_agrees_for_the_papers_forms(self):
        self.check_here("paper", "model.activation=softplus", "model.last_activation=softplus",
                        "model.gru.variant=reset_before", "model.gru.activation=hard_sigmoid",
                        "loss.cca.form=projection", "eval.standardise_terms=false",
                        "model.log_variance_clamp=null", "data.standardise_emotion=false", "train.ema=0.5")

    def test_agrees_for_what_the_released_code_does(self):
        self.check_here("released", "data.emotion_stride=4", "data.emotion_steps=13", "eval.kl_orientation=released",
                        "eval.tie_rule=by_index", "data.standardise=false")

    def test_agrees_for_flat_curves_and_the_symmetric_divergence(self):
        self.check_here("flat", "model.emotion.kind=mlp", "data.emotion_stride=7", "eval.kl_symmetric=true",
                        "eval.lambda=0", "data.clip=1")

    def test_agrees_for_recurrent_music_and_the_candidates_rows(self):
        self.check_here("sequences", "model.music.kind=bigru", "eval.kl_orientation=candidate", "eval.lambda=1",
                        sequence=True)

    def test_is_kept_without_outputs(self):
        with open(NOTEBOOK, encoding="utf-8") as file:
            cells = json.load(file)["cells"]
        for cell in cells:
            if cell["cell_type"] == "code":
                self.assertEqual((cell["outputs"], cell["execution_count"]), ([], None), "".join(cell["source"]))
        self.assertLess(os.path.getsize(NOTEBOOK), 40000)


if __name__ == "__main__":
    unittest.main()
