"""Batch normalisation with sign as one native operation; PyTorch's own operators otherwise.

On a processor the training is bound by memory, not arithmetic: fused, a step takes about half the
time. The C file is compiled once for this machine with zig's C compiler, which the package needs
anyway, and kept in the cache.
"""

import ctypes
import functools
import hashlib
import subprocess
import sys
import tempfile
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from bitat_deploy.paths import cache_directory
from bitat_deploy.training.quantizers import sign_of_activation

_OPTIONS = ("-O3", "-march=native", "-ffp-contract=off", "-fno-sanitize=all", "-fPIC", "-shared")


def normalize_and_sign(values: Tensor, normalization: nn.BatchNorm2d) -> Tensor:
    """sign(normalization(values)) for [N, C, H, W]; running statistics advance in training.

    The gradient passes the sign by the slope max(0, 2 - 2|y|), see
    :func:`~bitat_deploy.training.quantizers.sign_of_activation`.
    """
    library = _library()
    if library is None or values.dtype != torch.float32 or values.device.type != "cpu":
        return sign_of_activation(normalization(values))
    if not normalization.training:
        if torch.is_grad_enabled() and (values.requires_grad or normalization.weight.requires_grad):
            return sign_of_activation(normalization(values))
        scale, shift = scale_and_shift(normalization)
        return _scale_sign(
            library,
            values.contiguous(memory_format=torch.channels_last),
            scale.detach(),
            shift.detach(),
        )
    result: Tensor
    result, mean, variance = _NormalizeSign.apply(
        values, normalization.weight, normalization.bias, normalization.eps
    )
    _advance(normalization, mean, variance, values.numel() // values.shape[1])
    return result


def scale_and_shift(normalization: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """The affine map [C], [C] that the normalisation is in evaluation."""
    assert normalization.running_mean is not None and normalization.running_var is not None
    scale = normalization.weight / torch.sqrt(normalization.running_var + normalization.eps)
    return scale, normalization.bias - normalization.running_mean * scale


def _advance(normalization: nn.BatchNorm2d, mean: Tensor, variance: Tensor, count: int) -> None:
    """What nn.BatchNorm2d does to its running statistics after one batch."""
    assert normalization.running_mean is not None and normalization.running_var is not None
    assert normalization.num_batches_tracked is not None
    normalization.num_batches_tracked.add_(1)
    momentum = normalization.momentum
    if momentum is None:
        momentum = 1.0 / float(normalization.num_batches_tracked)
    normalization.running_mean.lerp_(mean, momentum)
    normalization.running_var.lerp_(variance * (count / max(count - 1, 1)), momentum)


class _NormalizeSign(torch.autograd.Function):
    """Training mode: statistics of the batch."""

    @staticmethod
    def forward(
        context: Any, values: Tensor, weight: Tensor, bias: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        library = _library()
        assert library is not None
        values = values.contiguous(memory_format=torch.channels_last)
        channels = values.shape[1]
        rows = values.numel() // channels
        mean, variance = values.new_empty(channels), values.new_empty(channels)
        _check(
            library.channel_moments(
                _pointer(values), rows, channels, _pointer(mean), _pointer(variance)
            )
        )
        inverse = torch.rsqrt(variance + eps)
        scale = weight * inverse
        shift = bias - mean * scale
        context.save_for_backward(values, mean, inverse, scale, shift)
        context.mark_non_differentiable(mean, variance)
        return _scale_sign(library, values, scale, shift), mean, variance

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor, None]:
        library = _library()
        assert library is not None
        values, mean, inverse, scale, shift = context.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        channels = values.shape[1]
        grad_values = torch.empty_like(values)
        grad_weight, grad_bias = torch.empty_like(mean), torch.empty_like(mean)
        arrays = (mean, inverse, scale, shift, grad_values, grad_weight, grad_bias)
        _check(
            library.normalize_sign_backward(
                _pointer(gradient),
                _pointer(values),
                values.numel() // channels,
                channels,
                *(_pointer(array) for array in arrays),
            )
        )
        return grad_values, grad_weight, grad_bias, None


def _scale_sign(library: ctypes.CDLL, values: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    result = torch.empty_like(values)
    channels = values.shape[1]
    library.scale_sign(
        _pointer(values),
        values.numel() // channels,
        channels,
        _pointer(scale),
        _pointer(shift),
        _pointer(result),
    )
    return result


def _pointer(tensor: Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(tensor.data_ptr())


def _check(status: int) -> None:
    if status:
        raise MemoryError("out of memory in batch normalisation")


@functools.cache
def _library() -> ctypes.CDLL | None:
    """The compiled kernels, or None where no compiler is at hand."""
    source = resources.files(__package__).joinpath("normalize_sign.c").read_text()
    key = hashlib.sha256(f"{source}{_OPTIONS}{_processor()}".encode()).hexdigest()[:16]
    path = cache_directory() / "training" / f"normalize_sign-{key}.so"
    if not path.exists() and not _compile(source, path):
        return None
    library = ctypes.CDLL(str(path))
    pointer, long = ctypes.c_void_p, ctypes.c_long
    library.channel_moments.argtypes = [pointer, long, long, pointer, pointer]
    library.scale_sign.argtypes = [pointer, long, long, pointer, pointer, pointer]
    library.scale_sign.restype = None
    library.normalize_sign_backward.argtypes = [pointer, pointer, long, long, *[pointer] * 7]
    return library


def _processor() -> str:
    """What -march=native depends on, so that a shared cache serves different machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")


def _compile(source: str, path: Path) -> bool:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            code, built = Path(folder) / "normalize_sign.c", Path(folder) / "normalize_sign.so"
            code.write_text(source)
            subprocess.run(
                [sys.executable, "-m", "ziglang", "cc", *_OPTIONS, str(code), "-o", str(built)],
                check=True,
                capture_output=True,
            )
            built.replace(path)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True
