"""Ranks of all matches in PyTorch: strips of scores by products and torch.cdist, then counted. No gradients."""
import torch

from peer import Variant
from torch_tools import draw


def make(dtype, rows_at_once):
    def build(shape, precision, device):
        n, d = shape["n"], shape["d"]

        def view(side, stream, deviation=1.0):
            common = draw((n, d), device, stream)
            return (common if side == 0 else 0.5 * common + draw((n, d), device, stream + 1)).to(dtype)

        means, points = [view(side, 180) for side in (0, 1)], [view(side, 184) for side in (0, 1)]
        variances = [(0.3 * draw((n, d), device, 188 + side)).to(dtype).exp() + 1e-6 for side in (0, 1)]

        def run():
            counts = []
            for q, c in ((0, 1), (1, 0)):
                inverse = 1.0 / variances[c]
                right = torch.cat([inverse, -2.0 * means[c] * inverse], 1)
                columns = (means[c] * means[c] * inverse + torch.log(variances[c])).sum(1) - d
                smaller = []
                for begin in range(0, n, rows_at_once):
                    strip = slice(begin, min(begin + rows_at_once, n))
                    left = torch.cat([variances[q][strip] + means[q][strip] ** 2, means[q][strip]], 1)
                    kl = 0.5 * (left @ right.T + columns - torch.log(variances[q][strip]).sum(1, keepdim=True))
                    total = 0.5 * torch.cdist(points[q][strip], points[c], p=1.0) + 0.5 * kl
                    rows = torch.arange(strip.stop - strip.start, device=device)
                    match = total[rows, rows + strip.start]
                    smaller.append((total < match[:, None]).sum(1))
                counts.append(torch.cat(smaller))
            return torch.stack(counts)

        def check():
            want = []
            for q, c in ((0, 1), (1, 0)):
                mq, mc, vq, vc = (v.cpu().double() for v in (means[q], means[c], variances[q], variances[c]))
                gap = mq[:, None] - mc[None]
                kl = 0.5 * ((vq[:, None] + gap ** 2) / vc[None] - 1 + torch.log(vc)[None] - torch.log(vq)[:, None]).sum(2)
                distance = (points[q].cpu().double()[:, None] - points[c].cpu().double()[None]).abs().sum(2)
                total = 0.5 * distance + 0.5 * kl
                want.append((total < torch.diagonal(total)[:, None]).sum(1))
            return 0.0 if torch.equal(run().cpu(), torch.stack(want)) else float("nan")

        return run, check

    return build


VARIANTS = {"ranks": [Variant("eager, strips, fp32", make(torch.float32, 4096)),
                      Variant("eager, strips, fp64", make(torch.float64, 4096))]}
