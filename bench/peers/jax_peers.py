#!/usr/bin/env python3
"""emer's benchmark cases in JAX, jit-compiled: see compare, which calls this. Wall-clock times, as JAX offers no events:
each run ends with block_until_ready, and so holds the dispatch as well."""
import argparse
import json
import time

import jax
import jax.numpy as jnp
import numpy as np

from peer import Report, Variant, run_all, summary
from peer import relative_error as flat_error

MARGIN, NORM_WEIGHT, FLOOR, RIDGE = 1.0, 1e-3, 1e-6, 1e-4
MATMUL = {"fp32": "highest", "tf32": "tensorfloat32", "bf16": "BF16_BF16_F32", "fp64": "highest"}


class Flat:
    """What peer.relative_error needs of an array."""

    def __init__(self, values):
        self.values = np.asarray(values, np.float64).ravel()

    def norm(self):
        return float(np.linalg.norm(self.values))

    def to(self, _):
        return self

    def __sub__(self, other):
        return Flat(self.values - other.values)


def relative_error(got, want):
    return flat_error([Flat(g) for g in got], [Flat(w) for w in want])


def draw(shape, stream, deviation=1.0):
    if int(np.prod(shape)) > 1 << 24:
        return deviation * jax.random.normal(jax.random.key(20211 + stream), shape, jnp.float32)
    return jnp.asarray(deviation * np.random.default_rng(20211 + stream).standard_normal(shape), jnp.float32)


def ranking(scores):
    own = jnp.diagonal(scores)
    hinge = jax.nn.relu(own[:, None] - scores + MARGIN)
    return hinge.sum() - jnp.diagonal(hinge).sum() + NORM_WEIGHT * jnp.abs(own).sum()


def stacked_scores(mp, vp, mq, vq):
    inverse = 1.0 / vq
    left, right = jnp.concatenate([inverse, mq * inverse], 1), jnp.concatenate([vp + mp * mp, -2.0 * mp], 1)
    rows = (mq * mq * inverse + jnp.log(vq)).sum(1, keepdims=True) - mp.shape[1]
    return 0.5 * (left @ right.T + rows - jnp.log(vp).sum(1))


def definition_scores(mp, vp, mq, vq):
    gap = mq[:, None] - mp[None]
    return 0.5 * (vp[None] / vq[:, None] + gap * gap / vq[:, None] - 1 + jnp.log(vq)[:, None] - jnp.log(vp)[None]).sum(2)


def kl_loss(scores):
    def loss(x):
        vm, ve = jnp.exp(x[1]) + FLOOR, jnp.exp(x[3]) + FLOOR
        return ranking(scores(x[0], vm, x[2], ve)) + ranking(scores(x[2], ve, x[0], vm))

    return loss


def kl_inputs(shape):
    values = [draw((shape["n"], shape["d"]), 10 + a, 0.3 if a % 2 else 1.0) for a in range(4)]
    if shape.get("late"):
        values[2:] = [values[a] + 0.05 * values[2 + a] for a in range(2)]
    return values


def row_norm_loss(x):
    x1, x2, w1, w2 = x
    n, d = x1.shape
    f1, f2, eye = x1 - x1.mean(1, keepdims=True), x2 - x2.mean(1, keepdims=True), jnp.eye(d, dtype=x1.dtype)
    s11, s22 = f1.T @ f1 / (n - 1) + RIDGE * eye, f2.T @ f2 / (n - 1) + RIDGE * eye
    chain = w1.T @ (f1.T @ f2 / (n - 1)) @ w2
    penalty = 0.5 * jnp.abs(2 * eye - w1.T @ s11 @ w1 - w2.T @ s22 @ w2).sum()
    return penalty - jnp.linalg.norm(chain, axis=1).sum()


def cca_inputs(shape):
    n, d = shape["n"], shape["d"]
    return [draw(s, 20 + a, 1.0 if a < 2 else 0.1) for a, s in enumerate([(n, d), (n, d), (d, d), (d, d)])]


def gru_inputs(shape):
    rows, hidden = 3 * shape["hidden"], shape["hidden"]
    weights = []
    for direction in range(2):
        sizes, deviations = [(rows, shape["in"]), (rows, hidden), (rows,), (rows,)], [0.3, hidden ** -0.5, 0.1, 0.1]
        weights.append([draw(s, 64 + 4 * direction + a, deviations[a]) for a, s in enumerate(sizes)])
    return weights, draw((shape["n"], shape["steps"], shape["in"]), 60), draw((shape["n"], 2 * hidden), 61)


def gru_loss(before, hidden):
    """<dy, last states>, whose gradients are the backward pass from dy."""
    def cell(h, projected, u, recurrent_bias):
        if before:
            zr = jnp.clip(0.2 * (projected[:, : 2 * hidden] + h @ u[: 2 * hidden].T) + 0.5, 0.0, 1.0)
            z, r = zr[:, :hidden], zr[:, hidden:]
            c = jnp.tanh(projected[:, 2 * hidden:] + (r * h) @ u[2 * hidden:].T)
        else:
            product = h @ u.T + recurrent_bias
            zr = jax.nn.sigmoid(projected[:, : 2 * hidden] + product[:, : 2 * hidden])
            z, r = zr[:, :hidden], zr[:, hidden:]
            c = jnp.tanh(projected[:, 2 * hidden:] + r * product[:, 2 * hidden:])
        return z * h + (1.0 - z) * c

    def loss(weights, x, dy):
        states = []
        for direction in range(2):
            w, u, bias, recurrent_bias = weights[direction]
            projected = jnp.swapaxes(x @ w.T + bias, 0, 1)
            h = jnp.zeros((x.shape[0], hidden), projected.dtype)
            states.append(jax.lax.scan(lambda h, p: (cell(h, p, u, recurrent_bias), None), h, projected,
                                       reverse=direction == 1)[0])
        return (jnp.concatenate(states, 1) * dy).sum()

    return loss


def make(loss, want_loss, arguments):
    """loss(*arguments): value and the gradients with respect to the first argument."""
    def build(shape, precision, device):
        given = arguments(shape)
        given = given if isinstance(given, tuple) else (given,)
        function = loss(shape) if callable(loss) and getattr(loss, "of_shape", False) else loss
        wanted = want_loss(shape) if getattr(want_loss, "of_shape", False) else want_loss
        with jax.default_matmul_precision(MATMUL[precision]):
            step = jax.jit(jax.value_and_grad(function)).lower(*given).compile()

        def run():
            return jax.block_until_ready(step(*given))

        def check():
            jax.config.update("jax_enable_x64", True)
            try:
                wide = jax.tree.map(lambda v: jnp.asarray(np.asarray(v, np.float64)), given)
                with jax.default_matmul_precision("highest"):
                    want = jax.value_and_grad(wanted)(*wide)
            finally:
                jax.config.update("jax_enable_x64", False)
            got, pairs = run(), []
            for g, w in zip(jax.tree.leaves(got), jax.tree.leaves(want)):
                if float(np.linalg.norm(np.asarray(w))) > 0:
                    pairs.append((g, w))
            return relative_error([g for g, _ in pairs], [w for _, w in pairs])

        return run, check

    return build


def of_shape(function):
    function.of_shape = True
    return function


def make_gru(before):
    loss = of_shape(lambda shape: gru_loss(before, shape["hidden"]))
    return make(loss, loss, gru_inputs)


def make_product(shape, precision, device):
    dtype = jnp.bfloat16 if precision == "bf16" else jnp.float32
    a, b = draw((shape["m"], shape["k"]), 1).astype(dtype), draw((shape["k"], shape["n"]), 2).astype(dtype)
    with jax.default_matmul_precision(MATMUL[precision]):
        step = jax.jit(lambda a, b: a @ b).lower(a, b).compile()

    def run():
        return jax.block_until_ready(step(a, b))

    def check():
        return relative_error([run()], [np.asarray(a, np.float64) @ np.asarray(b, np.float64)])

    return run, check


def whole_matrix(shape):
    """More than fits: about eight n x n arrays of float32 at once after fusion; 100 GB is what an H200 leaves."""
    return 32 * shape["n"] ** 2 > 100e9


def vggish_inputs(shape):
    channels = [1] + [shape[f"channels{k}"] for k in range(6)]
    widths = [24 * channels[-1]] + [shape[f"dense{k}"] for k in range(3)]
    sizes = [(3, 3, channels[k], channels[k + 1]) for k in range(6)] + [(widths[k], widths[k + 1]) for k in range(3)]
    weights = [(draw(s, 200 + k, (2.0 / np.prod(s[:-1])) ** 0.5), draw(s[-1:], 220 + k, 0.1)) for k, s in enumerate(sizes)]
    return weights, draw((shape["n"], 96, 64, 1), 190), draw((shape["n"], shape["dense2"]), 191)


def vggish(weights, x, narrow):
    """narrow: in bfloat16 throughout, as a product's own format does not reach convolutions."""
    if narrow:
        weights, x = jax.tree.map(lambda v: v.astype(jnp.bfloat16), (weights, x))
    with jax.default_matmul_precision("default" if narrow else jax.config.jax_default_matmul_precision):
        for k, (w, b) in enumerate(weights[:6]):
            x = jax.lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
            x = jax.nn.relu(x + b)
            if k not in (2, 4):
                x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        x = x.reshape(x.shape[0], -1)
        for k, (w, b) in enumerate(weights[6:]):
            x = x @ w + b
            x = jax.nn.relu(x) if k < 2 else x
    return x


def make_vggish(train):
    def build(shape, precision, device):
        narrow, given = precision == "bf16", vggish_inputs(shape)
        if train:
            step = make(lambda weights, x, dy: (vggish(weights, x, narrow).astype(jnp.float32) * dy).sum(),
                        lambda weights, x, dy: (vggish(weights, x, False) * dy).sum(), lambda _: given)
            return step(shape, precision, device)
        with jax.default_matmul_precision(MATMUL[precision]):
            step = jax.jit(lambda weights, x: vggish(weights, x, narrow)).lower(*given[:2]).compile()

        def run():
            return jax.block_until_ready(step(*given[:2]))

        def check():
            jax.config.update("jax_enable_x64", True)
            try:
                wide = jax.tree.map(lambda v: jnp.asarray(np.asarray(v, np.float64)), given)
                with jax.default_matmul_precision("highest"):
                    want = vggish(*wide[:2], False)
            finally:
                jax.config.update("jax_enable_x64", False)
            return relative_error([np.asarray(run(), np.float64)], [want])

        return run, check

    return build


VARIANTS = {
    "vggish_forward": [Variant("jit, NHWC", make_vggish(False))],
    "vggish_step": [Variant("jit, NHWC", make_vggish(True), bounds={"tf32": 0.2, "bf16": 0.6})],
    "gemm": [Variant("jit", make_product, precisions=("bf16", "tf32", "fp32"))],
    "kl": [Variant("jit, stacked", make(kl_loss(stacked_scores), kl_loss(definition_scores), kl_inputs),
                   too_large=whole_matrix)],
    "cca_row_norm": [Variant("jit, as written", make(row_norm_loss, row_norm_loss, cca_inputs))],
    "gru_before": [Variant("jit, scan", make_gru(True), too_large=lambda shape: bool(shape.get("ragged")))],
    "gru_after": [Variant("jit, scan", make_gru(False), too_large=lambda shape: bool(shape.get("ragged")))],
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", required=True)
    parser.add_argument("--json", required=True)
    parser.add_argument("--device", default="cuda", choices=["cpu", "cuda"])
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--budget", type=float, default=0.0)
    args = parser.parse_args()
    jax.config.update("jax_platforms", args.device)
    with open(args.cases, encoding="utf-8") as file:
        cases = json.load(file)["cases"]
    header = {"peer": "jax", "version": jax.__version__, "device": args.device,
              "device_name": jax.devices()[0].device_kind, "clock": "wall"}

    def measure(run):
        run()
        seconds = []
        while sum(seconds) < args.seconds or len(seconds) < 5:
            begun = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - begun)
            if sum(seconds) > 20 * args.seconds and len(seconds) >= 2:
                break
        return summary(seconds)

    report = Report(args.json, header, args.budget)
    run_all(report, cases, VARIANTS, args.device, measure, (MemoryError,))
    report.write()


if __name__ == "__main__":
    main()
