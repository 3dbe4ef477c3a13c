#!/usr/bin/env python3
"""VGGish from samples to embeddings in NumPy, float64: what `emer convert vggish` and `emer extract --what vggish`
must give. Shares nothing with the program but the description in docs/vggish.md.

Run, it writes oracle.json: sound (as a formula), network of network.ckpt (random weights of small widths), expected
embeddings and post-processed bytes; and network.npz, the same weights under the PyTorch port's names and layouts.
"""
import json
import pathlib

import numpy as np

here = pathlib.Path(__file__).resolve().parent
CHANNELS, WIDTHS = [3, 5, 4, 6, 5, 7], [9, 8, 6]
CONVS = ["conv1", "conv2", "conv3/conv3_1", "conv3/conv3_2", "conv4/conv4_1", "conv4/conv4_2"]
DENSE = ["fc1/fc1_1", "fc1/fc1_2", "fc2"]
PORT = ["features.0", "features.3", "features.6", "features.8", "features.11", "features.13",
        "embeddings.0", "embeddings.2", "embeddings.4"]


def weights():
    """Under TensorFlow's names, float32; scaled so that activations keep their size."""
    random, made, before = np.random.RandomState(3), {}, 1
    for name, width in zip(CONVS + DENSE, CHANNELS + WIDTHS):
        if name == DENSE[0]:
            before *= 24
        shape = [3, 3, before, width] if name in CONVS else [before, width]
        scale = np.sqrt(2 / np.prod(shape[:-1]))
        made[f"vggish/{name}/weights"] = (scale * random.randn(*shape)).astype(np.float32)
        made[f"vggish/{name}/biases"] = (0.3 * random.randn(width)).astype(np.float32)
        before = width
    return made


def samples(count=2 * 16000):
    """int16; integers all the way, so that any language can repeat it."""
    i = np.arange(count, dtype=np.int64)
    return ((i * i * 7 + 13 * i) % 20011 - 10005) * (1 + i // 4000) // 8


def log_mel(sound):
    x = sound / 32768.0
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    frames = 1 + (len(x) - 400) // 160
    spectra = np.abs(np.fft.rfft([x[160 * t:160 * t + 400] * window for t in range(frames)], 512))
    mel = lambda hertz: 1127 * np.log(1 + hertz / 700)
    edges, place = np.linspace(mel(125), mel(7500), 66), mel(np.arange(257) * 31.25)
    matrix = np.zeros([257, 64])
    for band in range(64):
        low, centre, high = edges[band:band + 3]
        matrix[:, band] = np.maximum(0, np.minimum((place - low) / (centre - low), (high - place) / (high - centre)))
    matrix[0] = 0
    log = np.log(spectra @ matrix + 0.01)
    return np.stack([log[96 * p:96 * p + 96] for p in range(frames // 96)])


def network(patches):
    w = {name: value.astype(np.float64) for name, value in weights().items()}
    x = patches[..., None]
    for i, name in enumerate(CONVS):
        kernel, (n, height, width, _) = w[f"vggish/{name}/weights"], x.shape
        padded = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
        x = sum(padded[:, r:r + height, s:s + width] @ kernel[r, s] for r in range(3) for s in range(3))
        x = np.maximum(0, x + w[f"vggish/{name}/biases"])
        if i in (0, 1, 3, 5):
            x = x.reshape(n, height // 2, 2, width // 2, 2, -1).max(axis=(2, 4))
    x = x.reshape(len(x), -1)
    for i, name in enumerate(DENSE):
        x = x @ w[f"vggish/{name}/weights"] + w[f"vggish/{name}/biases"]
        x = np.maximum(0, x) if i < 2 else x
    return x


def pca():
    random = np.random.RandomState(4)
    return random.randn(WIDTHS[-1], WIDTHS[-1]), random.randn(WIDTHS[-1])


if __name__ == "__main__":
    embeddings = network(log_mel(samples()))
    matrix, means = pca()
    levels = (np.clip((embeddings - means) @ matrix.T, -2, 2) + 2) * 255 / 4
    (here / "oracle.json").write_text(json.dumps({
        "embeddings": embeddings.tolist(), "levels": levels.tolist()}, indent=1) + "\n")
    port = {}
    for name, theirs in zip(CONVS + DENSE, PORT):
        kernel = weights()[f"vggish/{name}/weights"]
        port[theirs + ".weight"] = kernel.transpose(3, 2, 0, 1) if kernel.ndim == 4 else kernel.T
        port[theirs + ".bias"] = weights()[f"vggish/{name}/biases"]
    np.savez_compressed(here / "network.npz", **{name: np.ascontiguousarray(value) for name, value in port.items()})
    np.savez(here / "pca.npz", pca_eigen_vectors=matrix, pca_means=means)
    print(embeddings.round(3), levels.round(2))
