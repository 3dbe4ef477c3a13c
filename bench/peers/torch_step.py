#!/usr/bin/env python3
"""One training step of the full-size DEAM model in PyTorch, on the CPU: the peer of `emer bench step`.

Batch 512, song vectors of 128, 60 rating steps, GRU 512 per direction, d = 1024, projection CCA (row norms, sample
centring, summed penalty), KL ranking loss with the norm term counted n times, Adam. Two forms of the recurrence:
  released     reset gate before the recurrent product, hard sigmoid: a loop over steps, as nn.GRU has no such cell
  reset_after  nn.GRU, bidirectional
Prints one JSON object: seconds of every timed step, the median, threads, versions, and the machine's sgemm rate.
"""
import argparse
import json
import platform
import statistics
import time

import torch
from torch import nn


class ReleasedDirection(nn.Module):
    def __init__(self, inputs, hidden):
        super().__init__()
        self.hidden = hidden
        self.input_weight = nn.Parameter(torch.empty(3 * hidden, inputs))
        self.recurrent_weight = nn.Parameter(torch.empty(3 * hidden, hidden))
        self.bias = nn.Parameter(torch.zeros(3 * hidden))
        nn.init.xavier_uniform_(self.input_weight)
        nn.init.orthogonal_(self.recurrent_weight)

    def forward(self, x):  # [n, T, F] -> last state [n, H]
        h_size = self.hidden
        projected = (x @ self.input_weight.T + self.bias).transpose(0, 1)
        gates, candidate = self.recurrent_weight[: 2 * h_size], self.recurrent_weight[2 * h_size:]
        h = x.new_zeros(x.shape[0], h_size)
        for step in range(x.shape[1]):
            zr = torch.clamp(0.2 * (projected[step, :, : 2 * h_size] + h @ gates.T) + 0.5, 0.0, 1.0)
            z, r = zr[:, :h_size], zr[:, h_size:]
            c = torch.tanh(projected[step, :, 2 * h_size:] + (r * h) @ candidate.T)
            h = z * h + (1.0 - z) * c
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

    def forward(self, x):
        if self.gru_hidden:
            if self.form == "released":
                x = torch.cat([self.forward_gru(x), self.backward_gru(x.flip(1))], dim=1)
            else:
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
    eye = torch.eye(f1.shape[1])
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


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--form", choices=["released", "reset_after"], default="released")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0)
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    n, d, hidden = 512, 1024, 512
    music = Encoder(128, [256, 512, 512, 1024], d, 0, args.form)
    emotion = Encoder(2, [512, 512, 512, 1024], d, hidden, args.form)
    w1, w2 = nn.Parameter(0.1 * torch.randn(d, d)), nn.Parameter(0.1 * torch.randn(d, d))
    optimizer = torch.optim.Adam([*music.parameters(), *emotion.parameters(), w1, w2], lr=1e-5)
    songs, curves = torch.randn(n, 128), torch.rand(n, 60, 2) * 2 - 1
    seconds, loss = [], None
    for step in range(args.steps + 1):  # the first warms up
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        loss = composite(music(songs), emotion(curves), w1, w2)
        loss.backward()
        optimizer.step()
        if step:
            seconds.append(time.perf_counter() - start)
    a, b = torch.randn(2048, 2048), torch.randn(2048, 2048)
    rate = 0.0
    for _ in range(6):
        start = time.perf_counter()
        a @ b
        rate = max(rate, 2 * 2048**3 / (time.perf_counter() - start) / 1e9)
    print(json.dumps({"peer": "pytorch", "form": args.form, "seconds": seconds, "median": statistics.median(seconds),
                      "threads": torch.get_num_threads(), "torch": torch.__version__, "sgemm_gflops": rate,
                      "loss": float(loss.detach()), "machine": platform.processor() or platform.machine()}))


if __name__ == "__main__":
    main()
