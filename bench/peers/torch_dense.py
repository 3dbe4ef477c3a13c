"""Products, copies, dense layers and Adam in PyTorch."""
import torch
from torch import nn

from peer import Variant, relative_error
from torch_tools import autocast, compiled, draw, set_precision


def make_product(shape, precision, device):
    dtype = {"bf16": torch.bfloat16, "fp64": torch.float64}.get(precision, torch.float32)
    a = draw((shape["m"], shape["k"]), device, 1).to(dtype)
    b = draw((shape["k"], shape["n"]), device, 2).to(dtype)

    def run():
        set_precision(precision)
        return a @ b

    def check():
        return relative_error([run().cpu().double()], [a.cpu().double() @ b.cpu().double()])

    return run, check


def make_copy(shape, precision, device):
    source = draw((shape["bytes"] // 4,), device, 3)
    target = torch.empty_like(source)

    def run():
        return target.copy_(source)

    def check():
        return relative_error([run().cpu().double()], [source.cpu().double()])

    return run, check


def stack(shape, device, dtype):
    widths = [shape[f"width{k}"] for k in range(sum(key.startswith("width") for key in shape))]
    layers = list(zip(widths, widths[1:])) + [(widths[-1], widths[-1])] * 3
    parameters = []
    for k, (inside, outside) in enumerate(layers):
        parameters.append([draw((outside, inside), device, 110 + k, inside ** -0.5).to(dtype).requires_grad_(),
                           draw((outside,), device, 130 + k, 0.1).to(dtype).requires_grad_()])
    return widths, parameters


def heads(x, parameters):
    for weight, bias in parameters[:-3]:
        x = nn.functional.softplus(nn.functional.linear(x, weight, bias))
    return torch.cat([nn.functional.linear(x, weight, bias) for weight, bias in parameters[-3:]], 1)


def make_stack(compile_it):
    def build(shape, precision, device):
        widths, parameters = stack(shape, device, torch.float32)
        x = draw((shape["n"], widths[0]), device, 100)
        dy = draw((shape["n"], 3 * widths[-1]), device, 101)
        leaves = [v for pair in parameters for v in pair]
        forward = compiled(heads) if compile_it else heads

        def run():
            for v in leaves:
                v.grad = None
            with autocast(precision, device):
                y = forward(x, parameters)
            y.backward(dy.to(y.dtype))
            return y.detach()

        def check():
            wide = [[v.detach().cpu().double().requires_grad_() for v in pair] for pair in parameters]
            want = heads(x.cpu().double(), wide)
            want.backward(dy.cpu().double())
            got = run()
            return relative_error([got.cpu().double()] + [v.grad.cpu().double() for v in leaves],
                                  [want.detach()] + [v.grad for pair in wide for v in pair])

        run.leaves = leaves
        return run, check

    return build


def make_adam(**options):
    def build(shape, precision, device):
        value = draw((shape["count"],), device, 171, 0.1).requires_grad_()
        value.grad = draw((shape["count"],), device, 170, 1e-2)
        optimizer = torch.optim.Adam([value], lr=1e-3, **options)

        def run():
            optimizer.step()

        def check():
            start, g = value.detach().cpu().double(), value.grad.cpu().double()
            run()
            m, v = 0.1 * g, 0.001 * g * g
            want = start - 1e-3 * (m / 0.1) / ((v / 0.001).sqrt() + 1e-8)
            return relative_error([value.detach().cpu().double()], [want])

        return run, check

    return build


VARIANTS = {
    "gemm": [Variant("torch.matmul", make_product)],
    "copy": [Variant("torch.copy_", make_copy)],
    "linear": [Variant("eager", make_stack(False)), Variant("compiled", make_stack(True), against=make_stack(False))],
    "adam": [Variant("fused", make_adam(fused=True)), Variant("foreach", make_adam(foreach=True))],
}
