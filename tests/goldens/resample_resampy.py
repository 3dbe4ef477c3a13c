#!/usr/bin/env python3
"""Writes resample_resampy.safetensors: sound resampled to 16 kHz by resampy 0.2.2 (pip install resampy==0.2.2).

Input sample i of rate r is ((i i 7919 + i 104729 + r) mod 65536 - 32768) / 32768, in mono: tests compute it again.
`<r>.whole` [.] is the result of 1,500 samples; `44100.long.first`, `.last` [100] the two ends of 400,000 samples' and
`44100.long.length` their number: the time register's rounding shows at the far end only.
"""
import json
import pathlib
import struct

import numpy as np
import resampy

assert resampy.__version__ == "0.2.2"


def sound(rate, count):
    i = np.arange(count, dtype=np.int64)
    return ((i * i * 7919 + i * 104729 + rate) % 65536 - 32768) / 32768.0


arrays = {f"{rate}.whole": resampy.resample(sound(rate, 1500), rate, 16000, filter="kaiser_best")
          for rate in (8000, 11025, 22050, 44100, 48000)}
long = resampy.resample(sound(44100, 400000), 44100, 16000, filter="kaiser_best")
arrays["44100.long.first"] = long[:100]
arrays["44100.long.last"] = long[-100:]
arrays["44100.long.length"] = np.array([len(long)], dtype=np.float64)

header, data = {}, b""
for name, values in arrays.items():
    payload = values.astype("<f8").tobytes()
    header[name] = {"dtype": "F64", "shape": list(values.shape), "data_offsets": [len(data), len(data) + len(payload)]}
    data += payload
text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)
target = pathlib.Path(__file__).with_name("resample_resampy.safetensors")
target.write_bytes(struct.pack("<Q", len(text)) + text + data)
