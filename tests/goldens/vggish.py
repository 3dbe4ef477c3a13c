#!/usr/bin/env python3
"""Writes vggish.{weights,gradients}.safetensors: a small VGGish in PyTorch, float64, on the CPU. Run by hand."""
import json
import os
import struct

import numpy as np
import torch

CHANNELS, DENSE, PATCHES = (4, 6, 8, 8, 12, 12), (32, 24, 16), 3
POOL = (True, True, False, True, False, True)
NAMES = ("conv1", "conv2", "conv3_1", "conv3_2", "conv4_1", "conv4_2")


def write(name, tensors):
    header, offset, blobs = {}, 0, []
    for key, value in tensors.items():
        blob = np.ascontiguousarray(value).tobytes()
        kind = {"float32": "F32", "float64": "F64"}[value.dtype.name]
        header[key] = {"dtype": kind, "shape": list(value.shape), "data_offsets": [offset, offset + len(blob)]}
        offset += len(blob)
        blobs.append(blob)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    folder = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(folder, name), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def values(count, step, low, high):
    """What vggish_golden_test.cpp computes too: low + (high - low) * (k * step mod 10007) / 10007."""
    return low + (high - low) * ((np.arange(count, dtype=np.int64) * step) % 10007) / 10007.0


def main():
    random = np.random.default_rng(5)
    weights = {}
    widths = (1,) + CHANNELS
    for k, name in enumerate(NAMES):
        shape = (widths[k + 1], 3, 3, widths[k])
        weights[f"vggish.{name}.weight"] = random.normal(0, np.sqrt(2 / (9 * widths[k])), shape)
        weights[f"vggish.{name}.bias"] = random.normal(0, 0.1, widths[k + 1])
    inputs = (6 * 4 * CHANNELS[-1],) + DENSE[:-1]
    for k, width in enumerate(DENSE):
        weights[f"vggish.fc{k + 1}.weight"] = random.normal(0, np.sqrt(2 / inputs[k]), (width, inputs[k]))
        weights[f"vggish.fc{k + 1}.bias"] = random.normal(0, 0.1, width)
    weights = {key: value.astype(np.float32) for key, value in weights.items()}
    p = {key: torch.tensor(value.astype(np.float64), requires_grad=True) for key, value in weights.items()}

    x = torch.tensor(values(PATCHES * 96 * 64, 7919, -4.0, 2.0).reshape(PATCHES, 1, 96, 64))
    for k, name in enumerate(NAMES):
        kernel = p[f"vggish.{name}.weight"].permute(0, 3, 1, 2)
        x = torch.relu(torch.nn.functional.conv2d(x, kernel, p[f"vggish.{name}.bias"], padding=1))
        if POOL[k]:
            x = torch.nn.functional.max_pool2d(x, 2)
    x = x.permute(0, 2, 3, 1).reshape(PATCHES, -1)
    for k in range(3):
        x = torch.nn.functional.linear(x, p[f"vggish.fc{k + 1}.weight"], p[f"vggish.fc{k + 1}.bias"])
        if k < 2:
            x = torch.relu(x)
    dy = torch.tensor(values(x.numel(), 3571, -1.0, 1.0).reshape(x.shape))
    (x * dy).sum().backward()

    results = {"output": x.detach().numpy()}
    results.update({key: value.grad.numpy() for key, value in p.items()})
    write("vggish.weights.safetensors", weights)
    write("vggish.gradients.safetensors", results)


if __name__ == "__main__":
    main()
