#!/usr/bin/env python3
"""VGGish in PyTorch, channels_last: the peer of emer's vggish cases.

Run as a program: one case on the CPU, each run timed as it comes; prints one JSON object.
"""
import argparse
import json
import time

import torch
from torch import nn

from peer import Variant, relative_error
from torch_tools import autocast, compiled, draw, set_precision

POOL = (True, True, False, True, False, True)
FULL = {**{f"channels{k}": c for k, c in enumerate((64, 128, 256, 256, 512, 512))},
        **{f"dense{k}": c for k, c in enumerate((4096, 4096, 128))}}


class Network(nn.Module):
    def __init__(self, shape, device):
        super().__init__()
        channels = [1] + [shape[f"channels{k}"] for k in range(6)]
        widths = [24 * channels[-1]] + [shape[f"dense{k}"] for k in range(3)]
        self.convs = nn.ModuleList([nn.Conv2d(channels[k], channels[k + 1], 3, padding=1) for k in range(6)])
        self.denses = nn.ModuleList([nn.Linear(widths[k], widths[k + 1]) for k in range(3)])
        self.to(device=device, memory_format=torch.channels_last)
        with torch.no_grad():
            for k, layer in enumerate([*self.convs, *self.denses]):
                deviation = (2.0 / layer.weight[0].numel()) ** 0.5
                layer.weight.copy_(draw(tuple(layer.weight.shape), device, 200 + k, deviation))
                layer.bias.copy_(draw(tuple(layer.bias.shape), device, 220 + k, 0.1))

    def forward(self, x):
        for layer, pool in zip(self.convs, POOL):
            x = torch.relu(layer(x))
            if pool:
                x = nn.functional.max_pool2d(x, 2)
        x = x.permute(0, 2, 3, 1).flatten(1)  # a view, as channels_last lies so
        for layer in self.denses[:-1]:
            x = torch.relu(layer(x))
        return self.denses[-1](x)


def patches(shape, device):
    return draw((shape["n"], 1, 96, 64), device, 190).to(memory_format=torch.channels_last)


def make_forward(compile_it):
    def build(shape, precision, device):
        network, x = Network(shape, device), patches(shape, device)
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32  # converted once, as for serving
        network, narrow = network.to(dtype), x.to(dtype)
        forward = compiled(network) if compile_it else network

        def run():
            set_precision(precision)
            with torch.no_grad():
                return forward(narrow)

        def check():
            want = Network(shape, device).cpu().double()(x.cpu().double())
            return relative_error([run().cpu().double()], [want.detach()])

        run.leaves = []
        return run, check

    return build


def make_step(compile_it):
    def build(shape, precision, device):
        network, x = Network(shape, device), patches(shape, device)
        dy = draw((shape["n"], shape["dense2"]), device, 191)
        forward, leaves = compiled(network) if compile_it else network, list(network.parameters())

        def run():
            for v in leaves:
                v.grad = None
            with autocast(precision, device):
                y = forward(x)
            y.backward(dy.to(y.dtype))
            return y.detach()

        def check():
            wide = Network(shape, device).cpu().double()
            want = wide(x.cpu().double())
            want.backward(dy.cpu().double())
            got = run()
            return relative_error([got.cpu().double()] + [v.grad.cpu().double() for v in leaves],
                                  [want.detach()] + [v.grad for v in wide.parameters()])

        run.leaves = leaves
        return run, check

    return build


# Where two of a window's values round to one another's order, a whole gradient goes to another place.
MOVED = {"tf32": 0.2, "bf16": 0.6}
VARIANTS = {
    "vggish_forward": [Variant("eager, channels_last", make_forward(False)),
                       Variant("compiled, channels_last", make_forward(True), against=make_forward(False))],
    "vggish_step": [Variant("eager, channels_last", make_step(False), bounds=MOVED),
                    Variant("compiled, channels_last", make_step(True), against=make_step(False), bounds=MOVED)],
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--group", choices=list(VARIANTS), default="vggish_step")
    parser.add_argument("--patches", type=int, default=31)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0)
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    run, _ = VARIANTS[args.group][0].make({"n": args.patches, **FULL}, "fp32", "cpu")
    seconds, cpu_seconds = [], []
    for k in range(args.runs + 1):  # the first warms up
        start, cpu_start = time.perf_counter(), time.process_time()
        run()
        if k:
            seconds.append(time.perf_counter() - start)
            cpu_seconds.append(time.process_time() - cpu_start)
    print(json.dumps({"seconds": seconds, "cpu_seconds": cpu_seconds, "threads": torch.get_num_threads(), "torch": torch.__version__}))


if __name__ == "__main__":
    main()
