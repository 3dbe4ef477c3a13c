"""The KL ranking loss in PyTorch, value and gradients (kernels/gaussian_kl_rank.h has the formulas).

reference  the released code's algebra: three n x n x d products a direction, whole n x n matrices, autograd
stacked    the products of one direction stacked into one of depth 2d, whole matrices, autograd
strips     stacked, row strip by row strip, gradients from the mask by hand: memory linear in n
"""
import torch

from peer import Variant, relative_error
from torch_tools import autocast, compiled, draw

MARGIN, NORM_WEIGHT, FLOOR = 1.0, 1e-3, 1e-6


def inputs(shape, device, dtype=torch.float32):
    n, d = shape["n"], shape["d"]
    values = [draw((n, d), device, 10 + a, 0.3 if a % 2 else 1.0).to(dtype) for a in range(4)]
    if shape.get("late"):
        values[2:] = [values[a] + 0.05 * values[2 + a] for a in range(2)]
    return [v.requires_grad_() for v in values]


def ranking(scores):
    own = torch.diagonal(scores)
    hinge = torch.relu(own[:, None] - scores + MARGIN)
    return hinge.sum() - torch.diagonal(hinge).sum() + NORM_WEIGHT * own.abs().sum()


def reference_scores(mp, vp, mq, vq):  # [i, j] = KL(p_j || q_i)
    inverse = 1.0 / vq
    terms = inverse @ vp.T + inverse @ (mp * mp).T - 2.0 * (mq * inverse) @ mp.T
    rows = (mq * mq * inverse + torch.log(vq)).sum(1, keepdim=True) - mp.shape[1]
    return 0.5 * (terms + rows - torch.log(vp).sum(1))


def operands(mp, vp, mq, vq):
    inverse = 1.0 / vq
    left, right = torch.cat([inverse, mq * inverse], 1), torch.cat([vp + mp * mp, -2.0 * mp], 1)
    return left, right, (mq * mq * inverse + torch.log(vq)).sum(1) - mp.shape[1], -torch.log(vp).sum(1)


def stacked_scores(mp, vp, mq, vq):
    left, right, rows, columns = operands(mp, vp, mq, vq)
    return 0.5 * (left @ right.T + rows[:, None] + columns)


def definition_scores(mp, vp, mq, vq):
    gap = mq[:, None] - mp[None]
    return 0.5 * (vp[None] / vq[:, None] + gap * gap / vq[:, None] - 1 + torch.log(vq)[:, None] - torch.log(vp)[None]).sum(2)


def loss(scores, x):
    vm, ve = x[1].exp() + FLOOR, x[3].exp() + FLOOR
    return ranking(scores(x[0], vm, x[2], ve)) + ranking(scores(x[2], ve, x[0], vm))


def strips(x, rows_at_once=4096):
    """Value; leaves gradients in x, as backward() would."""
    vm, ve = x[1].exp() + FLOOR, x[3].exp() + FLOOR
    total = 0.0
    for mp, vp, mq, vq in ((x[0], vm, x[2], ve), (x[2], ve, x[0], vm)):
        parts = operands(mp, vp, mq, vq)
        left, right, rows, columns = (part.detach() for part in parts)
        n = left.shape[0]
        grads = [torch.zeros_like(part) for part in parts]
        own = 0.5 * ((left * right).sum(1) + rows + columns)
        for begin in range(0, n, rows_at_once):
            strip = slice(begin, min(begin + rows_at_once, n))
            scores = 0.5 * (left[strip] @ right.T + rows[strip, None] + columns)
            hinge = own[strip, None] - scores + MARGIN
            index = torch.arange(strip.start, strip.stop, device=left.device)
            hinge[torch.arange(len(index), device=left.device), index] = 0.0
            mask = (hinge > 0).to(left.dtype)
            total = total + (hinge * mask).sum()
            diagonal = mask.sum(1) + NORM_WEIGHT * torch.sign(own[strip])
            grads[0][strip] = 0.5 * (diagonal[:, None] * right[strip] - mask @ right)
            grads[1] -= 0.5 * (mask.T @ left[strip])
            grads[1][strip] += 0.5 * diagonal[:, None] * left[strip]
            grads[2][strip] = 0.5 * (diagonal - mask.sum(1))
            grads[3] -= 0.5 * mask.sum(0)
            grads[3][strip] += 0.5 * diagonal
        total = total + NORM_WEIGHT * own.abs().sum()
        torch.autograd.backward(parts, grads, retain_graph=True)
    return total


def make(scores, compile_it):
    def build(shape, precision, device):
        x = inputs(shape, device)
        function = strips if scores is None else (lambda x: loss(scores, x))
        forward = compiled(function) if compile_it else function

        def run():
            for v in x:
                v.grad = None
            with autocast(precision, device):
                value = forward(x)
            if scores is not None:
                value.backward()
            return value.detach()

        def check():
            wide = inputs(shape, "cpu")
            wide = [v.detach().double().requires_grad_() for v in wide]
            want = loss(definition_scores, wide)
            want.backward()
            got = run()
            return relative_error([got.cpu().double().reshape(1)] + [v.grad.cpu().double() for v in x],
                                  [want.detach().reshape(1)] + [v.grad for v in wide])

        run.leaves = x
        return run, check

    return build


def whole_matrix(shape):
    """More than fits: about 20 n x n arrays of float32 live at once in eager mode; 100 GB is what an H200 leaves."""
    return 80 * shape["n"] ** 2 > 100e9


# Not in bf16: autocast rounds the scores themselves to 8 bits, and the hinges with them.
FLOAT = ("fp32", "tf32")
VARIANTS = {"kl": [
    Variant("eager, reference algebra", make(reference_scores, False), FLOAT, too_large=whole_matrix),
    Variant("eager, stacked", make(stacked_scores, False), FLOAT, too_large=whole_matrix),
    Variant("eager, strips", make(None, False), FLOAT),
    Variant("compiled, stacked", make(stacked_scores, True), FLOAT, too_large=whole_matrix,
            against=make(stacked_scores, False)),
]}
