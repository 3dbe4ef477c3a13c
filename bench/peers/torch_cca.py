"""The CCA losses and the eigendecomposition in PyTorch, value and gradients.

as written   the d x d chain W' S W of the released code, autograd
eigh         exact CCA: S^-1/2 by torch.linalg.eigh, nuclear norm by torch.linalg.svdvals, autograd (cuSOLVER)
cholesky     exact CCA: whitening by Cholesky factors instead
"""
import torch

from peer import Variant, relative_error
from torch_tools import autocast, compiled, draw

RIDGE = 1e-4


def covariances(x1, x2):
    n, d = x1.shape
    eye = torch.eye(d, device=x1.device, dtype=x1.dtype)
    return (x1.T @ x1 / (n - 1) + RIDGE * eye, x2.T @ x2 / (n - 1) + RIDGE * eye, x1.T @ x2 / (n - 1), eye)


def projection(row_norm):
    def loss(x):
        x1, x2, w1, w2 = x
        axis = 1 if row_norm else 0
        s11, s22, s12, eye = covariances(x1 - x1.mean(axis, keepdim=True), x2 - x2.mean(axis, keepdim=True))
        chain = w1.T @ s12 @ w2
        residuals = eye - w1.T @ s11 @ w1, eye - w2.T @ s22 @ w2
        if row_norm:
            return 0.5 * (residuals[0] + residuals[1]).abs().sum() - chain.norm(dim=1).sum()
        chain = chain.float() if chain.dtype == torch.bfloat16 else chain
        return 0.5 * (residuals[0].abs().sum() + residuals[1].abs().sum()) - torch.linalg.svdvals(chain).sum()

    return loss


def exact_eigh(x):
    s11, s22, s12, _ = covariances(x[0] - x[0].mean(0, keepdim=True), x[1] - x[1].mean(0, keepdim=True))

    def inverse_root(s):
        values, vectors = torch.linalg.eigh(s)
        return (vectors / values.sqrt()) @ vectors.T

    return -torch.linalg.svdvals(inverse_root(s11) @ s12 @ inverse_root(s22)).sum()


def exact_cholesky(x):
    s11, s22, s12, _ = covariances(x[0] - x[0].mean(0, keepdim=True), x[1] - x[1].mean(0, keepdim=True))
    left = torch.linalg.solve_triangular(torch.linalg.cholesky(s11), s12, upper=False)
    return -torch.linalg.svdvals(torch.linalg.solve_triangular(torch.linalg.cholesky(s22), left.T, upper=False)).sum()


def make(loss, projections, compile_it=False, double=False):
    def build(shape, precision, device):
        n, d = shape["n"], shape["d"]
        shapes = [(n, d), (n, d)] + [(d, d)] * (2 if projections else 0)
        x = [draw(s, device, 20 + a, 1.0 if a < 2 else 0.1) for a, s in enumerate(shapes)]
        x = [(v.double() if double else v).requires_grad_() for v in x]
        forward = compiled(loss) if compile_it else loss

        def run():
            for v in x:
                v.grad = None
            with autocast(precision, device):
                value = forward(x)
            value.backward()
            return value.detach()

        def check():
            wide = [v.detach().cpu().double().requires_grad_() for v in x]
            want = loss(wide)
            want.backward()
            got = run()
            return relative_error([got.cpu().double().reshape(1)] + [v.grad.cpu().double() for v in x],
                                  [want.detach().reshape(1)] + [v.grad for v in wide])

        run.leaves = x
        return run, check

    return build


def make_eigen(shape, precision, device):
    m, dtype = shape["m"], torch.float64 if precision == "fp64" else torch.float32
    matrix = draw((m, m), device, 40).to(dtype)
    matrix = (matrix + matrix.T) / 2

    def run():
        return torch.linalg.eigh(matrix)

    def check():
        values, vectors = run()
        rebuilt = (vectors.double() * values.double()) @ vectors.double().T
        return relative_error([rebuilt], [matrix.double()])

    return run, check


VARIANTS = {
    "cca_row_norm": [Variant("eager, as written", make(projection(True), True)),
                     Variant("compiled, as written", make(projection(True), True, compile_it=True),
                            against=make(projection(True), True))],
    "cca_nuclear": [Variant("eager, as written", make(projection(False), True)),
                    Variant("compiled, as written", make(projection(False), True, compile_it=True),
                            against=make(projection(False), True))],
    "cca_exact": [Variant("eager, eigh fp64", make(exact_eigh, False, double=True)),
                  Variant("eager, cholesky fp64", make(exact_cholesky, False, double=True)),
                  Variant("eager, eigh fp32", make(exact_eigh, False))],
    "eigen": [Variant("torch.linalg.eigh", make_eigen)],
}
