"""A checkpoint holds every array that docs/method.md, section 7, names for its configuration, and no other."""
import json
import os
import unittest

import support

support.needs("numpy", "safetensors")
import numpy as np  # noqa: E402
from safetensors import safe_open  # noqa: E402
from safetensors.numpy import load_file, save_file  # noqa: E402

F, H, D = 7, 5, 6  # of train_explored(): width of the features, of the GRU, of the embedding


def gru(view, width, recurrent_bias):
    for way in ("forward", "backward"):
        name = f"{view}_encoder.gru.{way}"
        yield f"{name}.input_weight", (3 * H, width)
        yield f"{name}.recurrent_weight", (3 * H, H)
        yield f"{name}.bias", (3 * H,)
        if recurrent_bias:
            yield f"{name}.recurrent_bias", (3 * H,)


def dense_and_heads(view, width, widths):
    for i, wide in enumerate([*widths, D], start=1):
        yield f"{view}_encoder.dense{i}.weight", (wide, width)
        yield f"{view}_encoder.dense{i}.bias", (wide,)
        width = wide
    for head in ("embedding", "mean", "log_variance"):
        yield f"{view}_encoder.{head}.weight", (D, D)
        yield f"{view}_encoder.{head}.bias", (D,)


PROJECTIONS = {"cca.projection1": (D, D), "cca.projection2": (D, D)}
TEMPERATURE = {"kl.log_temperature": (1,)}


class Weights(support.Folder):
    def check(self, name, expected, *settings, sequence=False):
        folder = self.path(name)
        os.makedirs(folder)
        checkpoint = support.train_explored(folder, "train.epochs=1", *settings, sequence=sequence)
        model = os.path.join(checkpoint, "model.safetensors")
        with safe_open(model, "np") as file:
            self.assertEqual(file.metadata()["format"], "emer-weights-1")
        weights = load_file(model)
        self.assertEqual({key: array.shape for key, array in weights.items()}, expected)
        self.assertEqual({array.dtype for array in weights.values()}, {np.dtype(np.float32)})
        optimizer = load_file(os.path.join(checkpoint, "optimizer.safetensors"))
        self.assertEqual(sorted(optimizer), sorted(["step", *(f"{m}.{key}" for key in expected for m in "mv")]))
        return weights, checkpoint

    def test_mlp_and_bigru(self):
        self.check("own", {**dict(dense_and_heads("music", F, [96])), **dict(gru("emotion", 2, True)),
                           **dict(dense_and_heads("emotion", 2 * H, [64])), **TEMPERATURE})

    def test_the_papers_model(self):
        widths = [8, 9, 9, 10]  # dense1 .. dense4; dense5 is D wide
        self.check("paper", {**dict(dense_and_heads("music", F, widths)), **dict(gru("emotion", 2, False)),
                             **dict(dense_and_heads("emotion", 2 * H, widths)), **PROJECTIONS},
                   f"model.music.widths={widths}", f"model.emotion.widths={widths}", "model.gru.variant=reset_before",
                   "loss.cca.form=projection", "loss.kl.form=hinge", "loss.kl.learn_temperature=false")

    def test_two_recurrent_encoders_without_the_cca_term(self):
        self.check("sequences", {**dict(gru("music", F, True)), **dict(dense_and_heads("music", 2 * H, [])),
                                 **dict(gru("emotion", 2, True)), **dict(dense_and_heads("emotion", 2 * H, [64])),
                                 **TEMPERATURE},
                   "model.music.kind=bigru", "model.music.widths=[]", "loss.lambda=0", "loss.cca.form=projection",
                   sequence=True)

    def test_weights_made_in_python_are_where_training_starts(self):
        weights, checkpoint = self.check(
            "init", {**dict(dense_and_heads("music", F, [96])), **dict(gru("emotion", 2, True)),
                     **dict(dense_and_heads("emotion", 2 * H, [64])), **TEMPERATURE})
        random = np.random.default_rng(4)
        made = {key: random.normal(0, 0.1, array.shape).astype(np.float32) for key, array in weights.items()}
        save_file(made, self.path("init/made.safetensors"))
        run = self.path("init/again")
        support.emer("train", os.path.join(checkpoint, "config.yaml"), "--run", run, "--init", self.path("init/made.safetensors"),
                     "--set", "train.learning_rate=1e-30", "--set", "train.weight_decay=0")
        started = load_file(os.path.join(run, "checkpoints/last/model.safetensors"))
        self.assertEqual(sorted(started), sorted(made))
        for key, array in made.items():
            np.testing.assert_array_equal(started[key], array, key)
        with open(os.path.join(run, "checkpoints/last/state.json"), encoding="utf-8") as file:
            self.assertGreater(json.load(file)["step"], 0)


if __name__ == "__main__":
    unittest.main()
