"""emer evaluate --embeddings: NumPy, a CSV reader and safetensors all read the same bits."""
import csv
import unittest

import support

support.needs("numpy", "safetensors")
import numpy as np  # noqa: E402
from safetensors import safe_open  # noqa: E402
from safetensors.numpy import load_file  # noqa: E402

HEADS = [f"{view}.{head}" for view in ("music", "emotion") for head in ("embedding", "mean", "log_variance")]


def bits(values):
    return np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)


class Formats(support.Folder):
    @classmethod
    def make(cls):
        support.train_explored(cls.folder)
        for kind in ("safetensors", "npy", "csv"):
            support.emer("evaluate", cls.path("run"), "--embeddings", cls.path("e." + kind))
        cls.wanted = load_file(cls.path("e.safetensors"))

    def test_safetensors(self):
        self.assertEqual(sorted(self.wanted), sorted(["song_id", *HEADS]))
        self.assertEqual(self.wanted["song_id"].tolist(), load_file(self.path("songs.safetensors"))["song_id"].tolist())
        for name in HEADS:
            self.assertEqual((self.wanted[name].dtype, self.wanted[name].shape), (np.float32, (60, 6)), name)
            self.assertGreater(self.wanted[name].std(), 0, name)
        with safe_open(self.path("e.safetensors"), "np") as file:
            self.assertEqual(file.metadata()["format"], "emer-embeddings-1")

    def test_npy_is_an_array_of_records(self):
        for mode in (None, "r"):
            records = np.load(self.path("e.npy"), mmap_mode=mode)  # allow_pickle is off
            self.assertEqual(records.shape, (60,))
            self.assertEqual(list(records.dtype.names), ["song_id", *HEADS])
            self.assertEqual(records["song_id"].dtype, np.int64)
            np.testing.assert_array_equal(records["song_id"], self.wanted["song_id"])
            for name in HEADS:
                np.testing.assert_array_equal(bits(records[name]), bits(self.wanted[name]), name)

    def test_csv(self):
        with open(self.path("e.csv"), newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
        self.assertEqual(header, ["song_id", "title", "view", "head", *map(str, range(6))])
        self.assertEqual(len(rows), 60 * 6)
        self.assertEqual(rows[0][1], f"synthetic song {rows[0][0]}")
        for name in HEADS:
            chosen = [row for row in rows if f"{row[2]}.{row[3]}" == name]
            self.assertEqual([int(row[0]) for row in chosen], self.wanted["song_id"].tolist())
            values = np.array([row[4:] for row in chosen]).astype(np.float32)
            np.testing.assert_array_equal(bits(values), bits(self.wanted[name]), name)


if __name__ == "__main__":
    unittest.main()
