#!/usr/bin/env python3
"""A checkpoint, its data set and its embeddings in NumPy: encodes every song again, and finds a song's neighbours.

    emer evaluate RUN --embeddings embeddings.safetensors
    examples/embeddings.py RUN/checkpoints/last songs.safetensors embeddings.safetensors [SONG_ID]

for a model whose music encoder is an `mlp`. Needs the packages numpy and safetensors.
"""
import json
import os
import sys

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file

checkpoint, data_path, embeddings_path = sys.argv[1:4]

config, keys = {}, []  # a resolved configuration has every key on a line of its own
with open(os.path.join(checkpoint, "config.yaml"), encoding="utf-8") as file:
    for line in file:
        key, _, value = line.strip().partition(":")
        keys[(len(line) - len(line.lstrip())) // 2:] = [key]
        config[".".join(keys)] = value.strip()
assert config["model.music.kind"] == "mlp", "this example encodes song vectors (model.music.kind: mlp)"

average = os.path.join(checkpoint, "ema.safetensors")  # there where the run kept an average (train.ema): emer uses it
weights = load_file(average if os.path.exists(average) else os.path.join(checkpoint, "model.safetensors"))
data, exported = load_file(data_path), load_file(embeddings_path)
with safe_open(data_path, "np") as file:
    titles = json.loads((file.metadata() or {}).get("titles", "[]"))
print(f"{len(weights)} arrays of weights, {sum(w.size for w in weights.values())} numbers; "
      f"music {data['music'].shape}, emotion {data['emotion'].shape}")

x = data["music"].astype(np.float64)
if config["data.standardise"] == "true":
    scale = load_file(os.path.join(checkpoint, "standardisation.safetensors"))
    x = (x - scale["music.mean"]) / scale["music.deviation"]
    if float(config["data.clip"]) > 0:
        x = np.clip(x, -float(config["data.clip"]), float(config["data.clip"]))
activations = {"softplus": lambda v: np.logaddexp(0, v), "relu": lambda v: np.maximum(v, 0), "none": lambda v: v}
dense = sum(name.startswith("music_encoder.dense") for name in weights) // 2
for layer in range(1, dense + 1):
    x = x @ weights[f"music_encoder.dense{layer}.weight"].T + weights[f"music_encoder.dense{layer}.bias"]
    x = activations[config["model.last_activation" if layer == dense else "model.activation"]](x)
for head in ("embedding", "mean"):
    ours = x @ weights[f"music_encoder.{head}.weight"].T + weights[f"music_encoder.{head}.bias"]
    print(f"music.{head}: largest difference {np.abs(ours - exported['music.' + head]).max():.1e}")

ids = exported["song_id"]
song = ids.tolist().index(int(sys.argv[4])) if len(sys.argv) > 4 else 0
distance = np.linalg.norm(exported["music.mean"] - exported["music.mean"][song], axis=1)
print(f"nearest to song {ids[song]}, by the mean of its Gaussian:")
for i in np.argsort(distance, kind="stable")[1:6]:
    print(f"  {ids[i]:6d}  {distance[i]:.4f}  {titles[i] if titles else ''}".rstrip())
