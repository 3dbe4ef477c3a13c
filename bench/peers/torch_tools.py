"""PyTorch: inputs, precisions, timing."""
import contextlib
import time

import torch

from peer import summary

COMPILE = True  # torch_peers.py --no-compile


def draw(shape, device, stream, deviation=1.0):
    """Standard normal numbers that depend on `stream` and shape alone, whatever the device."""
    generator = torch.Generator("cpu").manual_seed(20211 + stream)
    if torch.Size(shape).numel() > 1 << 24:  # too many for one CPU core
        generator = torch.Generator(device).manual_seed(20211 + stream)
        return deviation * torch.randn(shape, generator=generator, device=device)
    return (deviation * torch.randn(shape, generator=generator)).to(device)


def set_precision(precision):
    tf32 = precision != "fp32"
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32


def autocast(precision, device):
    set_precision(precision)
    if precision != "bf16":
        return contextlib.nullcontext()
    return torch.autocast("cuda" if str(device).startswith("cuda") else "cpu", torch.bfloat16)


def compiled(function):
    if not COMPILE:
        raise RuntimeError("compiling was switched off")
    return torch.compile(function, dynamic=False)


class Meter:
    """Times a function: events on CUDA, behind a write of more than the L2 holds; a clock on the CPU."""

    def __init__(self, device, seconds, least=5):
        self.device, self.seconds, self.least = device, seconds, least
        self.cuda = str(device).startswith("cuda")
        if self.cuda:
            l2 = torch.cuda.get_device_properties(0).L2_cache_size
            self.flush = torch.empty(2 * l2, dtype=torch.uint8, device=device)

    def once(self, run):
        if not self.cuda:
            begun = time.perf_counter()
            run()
            return time.perf_counter() - begun
        start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        self.flush.zero_()
        start.record()
        run()
        stop.record()
        stop.synchronize()
        return start.elapsed_time(stop) * 1e-3

    def __call__(self, run):
        for _ in range(2):
            run()
        first = self.once(run)
        seconds = []
        while sum(seconds) < self.seconds or len(seconds) < self.least:
            seconds.append(self.once(run))
            if sum(seconds) > 20 * self.seconds + 5 * first and len(seconds) >= 2:
                break
        return summary(seconds)


def graphed(run):
    """The same work as one CUDA graph; run() must not depend on anything but the tensors it was made with."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay
