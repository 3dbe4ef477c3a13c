"""The bidirectional GRU in PyTorch, forward and backward; the input needs no gradient.

cuDNN          nn.GRU (reset after); packed sequences where lengths differ
loop           one cell after the other, either form; masked where lengths differ
loop, graph    the same recorded in a CUDA graph
loop, compiled the same with torch.compile on the cell
"""
import torch
from torch import nn

from peer import Variant, relative_error
from torch_tools import autocast, compiled, draw, graphed


def lengths_of(shape):
    n, steps = shape["n"], shape["steps"]
    if not shape.get("ragged"):
        return None
    # Spread as PMEmo's curves are: bench/cases/lengths.h.
    share, length = [0, .05, .1, .25, .5, .75, .9, .95, 1], [2, 12, 18, 28, 42, 62, 86, 100, 146]
    lengths = []
    for i in range(n):
        at = (i + 0.5) * 0.6180339887498949 % 1.0
        k = next(k for k in range(1, 9) if at <= share[k])
        part = (at - share[k - 1]) / (share[k] - share[k - 1])
        lengths.append(min(max(round(length[k - 1] + part * (length[k] - length[k - 1])), 1), steps))
    return lengths


def weights(shape, device):
    rows, stored = 3 * shape["hidden"], []
    for direction in range(2):
        sizes = [(rows, shape["in"]), (rows, shape["hidden"]), (rows,), (rows,)]
        deviations = [0.3, shape["hidden"] ** -0.5, 0.1, 0.1]
        stored.append([draw(s, device, 64 + 4 * direction + a, deviations[a]) for a, s in enumerate(sizes)])
    return stored


def cell_before(projected, h, u, gates_bias, hidden):
    zr = torch.clamp(0.2 * (projected[:, : 2 * hidden] + h @ u[: 2 * hidden].T) + 0.5, 0.0, 1.0)
    z, r = zr[:, :hidden], zr[:, hidden:]
    c = torch.tanh(projected[:, 2 * hidden:] + (r * h) @ u[2 * hidden:].T)
    return z * h + (1.0 - z) * c


def cell_after(projected, h, u, recurrent_bias, hidden):
    product = h @ u.T + recurrent_bias
    zr = torch.sigmoid(projected[:, : 2 * hidden] + product[:, : 2 * hidden])
    z, r = zr[:, :hidden], zr[:, hidden:]
    c = torch.tanh(projected[:, 2 * hidden:] + r * product[:, 2 * hidden:])
    return z * h + (1.0 - z) * c


def loop(x, parameters, lengths, before, cell):
    """Last states [n, 2H]; blocks of the weights in the order z, r, c."""
    hidden, states = parameters[0][1].shape[1], []
    for direction in range(2):
        w, u, bias, recurrent_bias = parameters[direction]
        projected = (x @ w.T + bias).transpose(0, 1)
        h = projected.new_zeros(x.shape[0], hidden)
        steps = range(x.shape[1]) if direction == 0 else reversed(range(x.shape[1]))
        for step in steps:
            moved = cell(projected[step], h, u, recurrent_bias, hidden)
            h = moved if lengths is None else torch.where((step < lengths)[:, None], moved, h)
        states.append(h)
    return torch.cat(states, 1)


def make_loop(before, how):
    def build(shape, precision, device, dtype=torch.float32):
        x = draw((shape["n"], shape["steps"], shape["in"]), device, 60).to(dtype)
        dy = draw((shape["n"], 2 * shape["hidden"]), device, 61).to(dtype)
        parameters = [[v.to(dtype).requires_grad_(not (before and a == 3)) for a, v in enumerate(side)]
                      for side in weights(shape, device)]
        lengths = lengths_of(shape)
        lengths = None if lengths is None else torch.tensor(lengths, device=device)
        cell = cell_before if before else cell_after
        cell = compiled(cell) if how == "compiled" else cell
        leaves = [v for side in parameters for v in side if v.requires_grad]

        def run():
            for v in leaves:
                v.grad = None
            with autocast(precision, device):
                y = loop(x, parameters, lengths, before, cell)
            y.backward(dy.to(y.dtype))
            return y.detach()

        def check():
            wide_run, _ = make_loop(before, "eager")(shape, "fp32", "cpu", torch.float64)
            want, got = wide_run(), run()
            wide_leaves = wide_run.leaves
            return relative_error([got.cpu().double()] + [v.grad.cpu().double() for v in leaves],
                                  [want] + [v.grad for v in wide_leaves])

        run.leaves = leaves
        return (graphed(run) if how == "graph" and shape["n"] > 64 else run), check

    return build


def make_cudnn(shape, precision, device):
    hidden, dtype = shape["hidden"], torch.bfloat16 if precision == "bf16" else torch.float32
    x = draw((shape["n"], shape["steps"], shape["in"]), device, 60).to(dtype)
    dy = draw((shape["n"], 2 * hidden), device, 61).to(dtype)
    gru = nn.GRU(shape["in"], hidden, batch_first=True, bidirectional=True)
    stored = weights(shape, "cpu")
    with torch.no_grad():  # the same equations; its blocks are in the order r, z, c
        for direction, suffix in enumerate(("", "_reverse")):
            for name, value in zip(("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"), stored[direction]):
                z, r, c = value.chunk(3)
                getattr(gru, name + suffix).copy_(torch.cat([r, z, c]))
    gru = gru.to(device=device, dtype=dtype)
    lengths = lengths_of(shape)
    if lengths is not None:
        x = nn.utils.rnn.pack_padded_sequence(x, torch.tensor(lengths), batch_first=True, enforce_sorted=False)

    def run():
        gru.zero_grad(set_to_none=True)
        with autocast("tf32" if precision == "bf16" else precision, device):
            last = gru(x)[1]
        y = torch.cat([last[0], last[1]], 1)
        y.backward(dy)
        return y.detach()

    def check():
        wide_run, _ = make_loop(False, "eager")(shape, "fp32", "cpu", torch.float64)
        want, got = wide_run(), run()
        wanted = [want]
        gotten = [got.cpu().double()]
        for direction, suffix in enumerate(("", "_reverse")):
            for a, name in enumerate(("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")):
                r, z, c = getattr(gru, name + suffix).grad.cpu().double().chunk(3)
                gotten.append(torch.cat([z, r, c]))
                wanted.append(wide_run.leaves[4 * direction + a].grad)
        return relative_error(gotten, wanted)

    return run, check


VARIANTS = {
    "gru_before": [Variant("loop", make_loop(True, "eager")), Variant("loop, graph", make_loop(True, "graph")),
                   Variant("loop, compiled", make_loop(True, "compiled"), against=make_loop(True, "eager"))],
    "gru_after": [Variant("cuDNN", make_cudnn), Variant("loop", make_loop(False, "eager")),
                  Variant("loop, graph", make_loop(False, "graph")),
                  Variant("loop, compiled", make_loop(False, "compiled"), against=make_loop(False, "eager"))],
}
