#!/usr/bin/env python3
"""emer's benchmark cases in PyTorch (eager, compiled, cuDNN, cuSOLVER): see compare, which calls this."""
import argparse
import json
import sys

import torch

import torch_cca
import torch_dense
import torch_gru
import torch_kl
import torch_log_mel
import torch_ranks
import torch_step
import torch_tools
import torch_vggish
from peer import Report, run_all


# What the goals of docs/performance.md compare with: compiled first, as the time may not last for all.
URGENT = [("kl_32768", "tf32"), ("cca_row_norm_512x1024", "tf32"), ("gru_before_512x60x2x512", "bf16"),
          ("vggish_forward_512", "bf16")]


def urgency(case):
    row = (case["name"], case["precision"])
    return URGENT.index(row) if row in URGENT else len(URGENT) + ["tf32", "bf16", "fp32", "fp64"].index(case["precision"])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", required=True)
    parser.add_argument("--json", required=True)
    parser.add_argument("--device", default="cuda", choices=["cpu", "cuda"])
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--budget", type=float, default=0.0)
    parser.add_argument("--no-compile", action="store_true")
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        sys.exit("torch_peers: PyTorch sees no CUDA device")
    torch_tools.COMPILE = not args.no_compile
    with open(args.cases, encoding="utf-8") as file:
        cases = json.load(file)["cases"]
    variants = {}
    for module in (torch_dense, torch_kl, torch_cca, torch_gru, torch_log_mel, torch_ranks, torch_step, torch_vggish):
        variants.update(module.VARIANTS)
    header = {"peer": "torch", "version": torch.__version__, "device": args.device, "cuda": torch.version.cuda,
              "cudnn": torch.backends.cudnn.version(), "threads": torch.get_num_threads(),
              "device_name": torch.cuda.get_device_name() if args.device == "cuda" else "cpu"}
    # Plain variants of all cases first: compiling takes most of the time, and the budget may end in it.
    plain = {g: [v for v in vs if "compiled" not in v.name] for g, vs in variants.items()}
    slow = {g: [v for v in vs if "compiled" in v.name] for g, vs in variants.items()}
    if args.device == "cpu":
        plain = {g: [v for v in vs if "graph" not in v.name and "fused" not in v.name] for g, vs in plain.items()}
    report, meter = Report(args.json, header, args.budget), torch_tools.Meter(args.device, args.seconds)

    def measure(run):
        times = meter(run)
        if args.device == "cuda":
            torch.cuda.empty_cache()
        return times

    memory = (torch.cuda.OutOfMemoryError, MemoryError)
    run_all(report, cases, plain, args.device, measure, memory)
    if not args.no_compile:
        run_all(report, sorted(cases, key=urgency), slow, args.device, measure, memory)
    report.write()


if __name__ == "__main__":
    main()
