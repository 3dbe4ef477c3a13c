#!/usr/bin/env python3
"""Writes log_mel.safetensors: VGGish's front end in NumPy, float64, on a signal that the tests make again."""
import json
import os
import struct

import numpy as np

SAMPLES = 35000  # two examples and a rest


def signal():
    """int16: a triangle of falling pitch and noise of a linear congruential generator, in whole numbers."""
    state, phase, out = 12345, 0, []
    for n in range(SAMPLES):
        state = (1664525 * state + 1013904223) % 2**32
        phase = (phase + 9000 - n // 5) % 65536
        triangle = abs(phase - 32768) - 16384
        out.append(triangle * (n % 9000) // 9000 + (state >> 20) - 2048)
    return np.array(out, dtype=np.int16)


def front_end(samples):
    x = samples / 32768.0
    frames = np.stack([x[s:s + 400] for s in range(0, len(x) - 399, 160)])
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    magnitude = np.abs(np.fft.rfft(frames * window, 512))
    mel = lambda f: 1127.0 * np.log(1.0 + f / 700.0)
    edges = np.linspace(mel(125.0), mel(7500.0), 66)
    bins = mel(np.arange(257) * 31.25)[:, None]
    up = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    down = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    weight = np.maximum(0.0, np.minimum(up, down))
    weight[0] = 0.0
    log_mel = np.log(magnitude @ weight + 0.01)
    examples = len(log_mel) // 96
    return log_mel[:examples * 96].reshape(examples, 96, 64)


def main():
    patches = front_end(signal())
    kept = np.ascontiguousarray(patches[:, ::8])
    header = json.dumps({"__metadata__": {"patches": str(len(patches)), "samples": str(SAMPLES)},
                         "every_eighth_frame": {"dtype": "F64", "shape": list(kept.shape),
                                                "data_offsets": [0, kept.nbytes]}}).encode()
    header += b" " * (-len(header) % 8)
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "log_mel.safetensors")
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header + kept.astype("<f8").tobytes())


if __name__ == "__main__":
    main()
