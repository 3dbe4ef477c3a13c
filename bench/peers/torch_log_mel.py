"""VGGish's front end in PyTorch: frames, window, transform of 512, magnitudes, mel weights, logarithm."""
import numpy
import torch

from peer import Variant, relative_error
from torch_tools import compiled, set_precision


def mel_weights():
    def mel(hertz):
        return 1127.0 * numpy.log(1.0 + hertz / 700.0)

    place = (mel(31.25 * numpy.arange(257)) - mel(125.0)) / (mel(7500.0) - mel(125.0)) * 65.0
    weights = numpy.maximum(0.0, 1.0 - numpy.abs(place[:, None] - numpy.arange(64)[None] - 1.0))
    weights[0] = 0.0
    return torch.from_numpy(weights)


def patches(log_mel):
    clips, frames, bands = log_mel.shape
    return log_mel[:, :frames // 96 * 96].reshape(clips * (frames // 96), 96, bands)


def by_rfft(pcm, window, weights):
    frames = (pcm.to(window.dtype) * (1.0 / 32768.0)).unfold(1, 400, 160) * window
    return patches(torch.log(torch.fft.rfft(frames, 512).abs() @ weights + 0.01))


def by_stft(pcm, window, weights):
    # A window of 512 whose tail is 0 and whose clips are padded by as much: the same frames.
    x = torch.nn.functional.pad(pcm.to(window.dtype) * (1.0 / 32768.0), (0, 112))
    spectrum = torch.stft(x, 512, 160, 512, torch.nn.functional.pad(window, (0, 112)), center=False, return_complex=True)
    return patches(torch.log(spectrum.abs().transpose(1, 2) @ weights + 0.01))


def make(function, compile_it=False):
    def build(shape, precision, device):
        generator = torch.Generator("cpu").manual_seed(20211)
        pcm = torch.randint(-10000, 10000, (shape["clips"], shape["samples"]), generator=generator,
                            dtype=torch.int16).to(device)
        window = torch.hann_window(400, periodic=True, dtype=torch.float64)
        weights = mel_weights()
        arguments = window.float().to(device), weights.float().to(device)
        forward = compiled(function) if compile_it else function

        def run():
            set_precision(precision)
            with torch.no_grad():
                return forward(pcm, *arguments)

        def check():
            return relative_error([run().cpu().double()], [by_rfft(pcm.cpu(), window, weights)])

        run.leaves = []
        return run, check

    return build


VARIANTS = {"log_mel": [Variant("torch.fft.rfft", make(by_rfft)), Variant("torch.stft", make(by_stft)),
                        Variant("compiled", make(by_rfft, True), against=make(by_rfft))]}
