#!/usr/bin/env python3
"""One training step of the full-size model in PyTorch: the peer of emer's step cases.

Batch 512, GRU 512 per direction, d = 1024, projection CCA (row norms, sample centring, summed penalty), KL ranking loss
with the norm term counted n times, Adam. Two forms of the recurrence:
  released     reset gate before the recurrent product, hard sigmoid: a loop over steps, as nn.GRU has no such cell
  reset_after  nn.GRU, bidirectional
Run as a program: the DEAM step on the CPU; prints one JSON object: seconds of every timed step, the median, threads,
versions, and the machine's sgemm rate.
"""
import argparse
import json
import platform
import statistics
import time

import torch
from torch import nn

from peer import Variant
from torch_gru import cell_before, lengths_of
from torch_tools import autocast, draw


class ReleasedDirection(nn.Module):
    def __init__(self, inputs, hidden):
        super().__init__()
        self.hidden = hidden
        self.input_weight = nn.Parameter(torch.empty(3 * hidden, inputs))
        self.recurrent_weight = nn.Parameter(torch.empty(3 * hidden, hidden))
        self.bias = nn.Parameter(torch.zeros(3 * hidden))
        nn.init.xavier_uniform_(self.input_weight)
        nn.init.orthogonal_(self.recurrent_weight)

    def forward(self, x, lengths, backwards):  # [n, T, F] -> last state [n, H]
        projected = (x @ self.input_weight.T + self.bias).transpose(0, 1)
        h = projected.new_zeros(x.shape[0], self.hidden)
        for step in reversed(range(x.shape[1])) if backwards else range(x.shape[1]):
            moved = cell_before(projected[step], h, self.recurrent_weight, None, self.hidden)
            h = moved if lengths is None else torch.where((step < lengths)[:, None], moved, h)
        return h


class Encoder(nn.Module):
    def __init__(self, inputs, widths, d, gru_hidden, form):
        super().__init__()
        self.form, self.gru_hidden = form, gru_hidden
        width = inputs
        if gru_hidden:
            if form == "released":
                self.forward_gru = ReleasedDirection(inputs, gru_hidden)
                self.backward_gru = ReleasedDirection(inputs, gru_hidden)
            else:
                self.gru = nn.GRU(inputs, gru_hidden, batch_first=True, bidirectional=True)
            width = 2 * gru_hidden
        layers = []
        for out in [*widths, d]:
            layers += [nn.Linear(width, out), nn.Softplus()]
            width = out
        self.dense = nn.Sequential(*layers)
        self.embedding, self.mean, self.log_variance = nn.Linear(d, d), nn.Linear(d, d), nn.Linear(d, d)

    def forward(self, x, lengths=None):
        if self.gru_hidden:
            if self.form == "released":
                x = torch.cat([self.forward_gru(x, lengths, False), self.backward_gru(x, lengths, True)], dim=1)
            else:
                if lengths is not None:
                    x = nn.utils.rnn.pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
                last = self.gru(x)[1]
                x = torch.cat([last[0], last[1]], dim=1)
        x = self.dense(x)
        return self.embedding(x), self.mean(x), self.log_variance(x)


def kl_matrix(mean_p, var_p, mean_q, var_q):  # [i, j] = KL(p_j || q_i)
    inverse = 1.0 / var_q
    terms = inverse @ (var_p + mean_p * mean_p).T - 2.0 * (mean_q * inverse) @ mean_p.T
    rows = (mean_q * mean_q * inverse + torch.log(var_q)).sum(1, keepdim=True) - mean_p.shape[1]
    return 0.5 * (terms + rows - torch.log(var_p).sum(1))


def composite(music, emotion, w1, w2, lam=0.5):
    n = music[0].shape[0]
    f1 = music[0] - music[0].mean(1, keepdim=True)
    f2 = emotion[0] - emotion[0].mean(1, keepdim=True)
    eye = torch.eye(f1.shape[1], device=f1.device)
    s11 = f1.T @ f1 / (n - 1) + 1e-4 * eye
    s22 = f2.T @ f2 / (n - 1) + 1e-4 * eye
    t = w1.T @ (f1.T @ f2 / (n - 1)) @ w2
    penalty = 0.5 * (2.0 * eye - w1.T @ s11 @ w1 - w2.T @ s22 @ w2).abs().sum()
    cca = penalty - t.norm(dim=1).sum()
    vm, ve = music[2].exp() + 1e-6, emotion[2].exp() + 1e-6
    kl = 0.0
    for scores in (kl_matrix(music[1], vm, emotion[1], ve), kl_matrix(emotion[1], ve, music[1], vm)):
        diagonal = torch.diagonal(scores)
        hinge = torch.relu(diagonal[:, None] - scores + 1.0)
        kl = kl + hinge.sum() - torch.diagonal(hinge).sum() + n * 1e-3 * diagonal.abs().sum()
    return lam * cca + (1.0 - lam) * kl


DEAM = {"n": 512, "music_steps": 0, "music_width": 128, "emotion_steps": 60, "ragged": 0, "d": 1024, "hidden": 512}


class Step:
    def __init__(self, shape, form, device):
        torch.manual_seed(1)
        self.device, d, hidden = device, shape["d"], shape["hidden"]
        sequence = shape["music_steps"] > 0
        widths = (512, 512, 512, 1024) if d == 1024 else (16,)
        music_widths = (256, *widths[1:]) if not sequence and d == 1024 else widths
        self.music = Encoder(shape["music_width"], music_widths, d, hidden if sequence else 0, form).to(device)
        self.emotion = Encoder(2, widths, d, hidden, form).to(device)
        self.w1 = nn.Parameter(0.1 * torch.randn(d, d, device=device))
        self.w2 = nn.Parameter(0.1 * torch.randn(d, d, device=device))
        parameters = [*self.music.parameters(), *self.emotion.parameters(), self.w1, self.w2]
        self.optimizer = torch.optim.Adam(parameters, lr=1e-5, fused=str(device).startswith("cuda"))
        n = shape["n"]
        self.songs = draw((n, shape["music_steps"], shape["music_width"]) if sequence else (n, shape["music_width"]), device,
                          80)
        self.curves = draw((n, shape["emotion_steps"], 2), device, 81, 0.5)
        self.emotion_lengths = self.music_lengths = None
        if shape.get("ragged"):
            lengths = lengths_of({**shape, "steps": shape["emotion_steps"]})
            self.emotion_lengths = torch.tensor(lengths, device=device)
            if sequence:
                music = [min(max(int((15.5 + 0.5 * length) / 0.96), 1), shape["music_steps"]) for length in lengths]
                self.music_lengths = torch.tensor(music, device=device)

    def loss(self):
        music = [v.float() for v in self.music(self.songs, self.music_lengths)]
        emotion = [v.float() for v in self.emotion(self.curves, self.emotion_lengths)]
        return composite(music, emotion, self.w1, self.w2)

    def __call__(self, precision):
        self.optimizer.zero_grad(set_to_none=True)
        with autocast(precision, self.device):
            loss = self.loss()
        loss.backward()
        self.optimizer.step()
        return loss.detach()


def make(form):
    def build(shape, precision, device):
        step = Step(shape, form, device)

        def run():
            return step(precision)

        def check():  # that the loss is a number and one step moves it; its parts are checked by their own cases
            first, second = float(step.loss()), None
            run()
            second = float(step.loss())
            return 0.0 if first == first and second == second and second != first else float("nan")

        return run, check

    return build


VARIANTS = {"step_released": [Variant("eager, loop", make("released"))],
            "step_textbook": [Variant("eager, cuDNN", make("reset_after"))]}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--form", choices=["released", "reset_after"], default="released")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0)
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    step, seconds, loss = Step(DEAM, args.form, "cpu"), [], None
    for k in range(args.steps + 1):  # the first warms up
        start = time.perf_counter()
        loss = step("fp32")
        if k:
            seconds.append(time.perf_counter() - start)
    a, b = torch.randn(2048, 2048), torch.randn(2048, 2048)
    rate = 0.0
    for _ in range(6):
        start = time.perf_counter()
        a @ b
        rate = max(rate, 2 * 2048**3 / (time.perf_counter() - start) / 1e9)
    print(json.dumps({"peer": "pytorch", "form": args.form, "seconds": seconds, "median": statistics.median(seconds),
                      "threads": torch.get_num_threads(), "torch": torch.__version__, "sgemm_gflops": rate,
                      "loss": float(loss), "machine": platform.processor() or platform.machine()}))


if __name__ == "__main__":
    main()
