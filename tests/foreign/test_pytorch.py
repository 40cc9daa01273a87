"""A network written with torch.sign, as torch.onnx.export spells it, answers what it answers there.

All numbers are binary fractions of few digits, so that no order of additions rounds: the file in
ONNX Runtime, the network in PyTorch and what we build give the same float32 logits, bit for bit.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from bitat_deploy.bundle import build
from bitat_deploy.errors import InputError
from bitat_deploy.foreign import import_foreign
from bitat_deploy.network import Convolution, Preprocessing, Supplement
from bitat_deploy.target import load_target
from tests.test_bit_for_bit import QEMU, run

SHAPE = (3, 16, 16)
PREPROCESSING = Preprocessing(scale=1 / 256, mean=(0.5,), std=(0.25,))


class PlainSign(torch.autograd.Function):
    """The sign with the gradient of a clipped identity."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        return torch.sign(x)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        (x,) = ctx.saved_tensors
        return gradient * (x.abs() <= 1)


class SymbolicSign(PlainSign):
    """The same, with the ONNX operator that it becomes."""

    @staticmethod
    def symbolic(graph: Any, x: Any) -> Any:
        return graph.op("Sign", x)


class BinaryConv(nn.Conv2d):
    """Signs of the input with signs of the weights, scaled by the mean magnitude of a filter."""

    def __init__(self, sign: Any, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, bias=False, **options)
        self.sign = sign

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scale = self.weight.abs().mean((1, 2, 3), keepdim=True)
        return self._conv_forward(self.sign(x), self.sign(self.weight) * scale, None)


def network(sign: Any) -> nn.Module:
    torch.manual_seed(0)
    layers = [
        nn.Conv2d(3, 16, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(16, eps=0),
        BinaryConv(sign, 16, 32, 3, padding=1),
        nn.BatchNorm2d(32, eps=0),
        nn.Hardtanh(),
        BinaryConv(sign, 32, 32, 1),
        nn.BatchNorm2d(32, eps=0),
        nn.PReLU(init=0.25),
        BinaryConv(sign, 32, 32, 3, padding=1, groups=32),
        nn.BatchNorm2d(32, eps=0),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 10, bias=False),
    ]
    with torch.no_grad():
        for layer in layers:
            if isinstance(layer, BinaryConv):
                layer.weight.copy_(torch.randint(0, 2, layer.weight.shape) - 0.5)
            elif isinstance(layer, nn.BatchNorm2d):
                layer.weight.copy_(0.5 * torch.randint(0, 2, layer.weight.shape) - 0.25)
                layer.bias.copy_((2 * torch.randint(-16, 16, layer.bias.shape) + 1) / 2**12)
            elif isinstance(layer, nn.Conv2d | nn.Linear):
                layer.weight.copy_(torch.randint(-16, 17, layer.weight.shape) / 64)
    return nn.Sequential(*layers).eval()


def export(module: nn.Module, path: Path, dynamo: bool = False) -> None:
    example = (torch.zeros(1, *SHAPE),)
    torch.onnx.export(
        module, example, str(path), input_names=["input"], dynamo=dynamo, verbose=False
    )


@pytest.mark.filterwarnings("ignore")  # PyTorch deprecates one exporter, and warns in the other
@pytest.mark.parametrize(
    ("dynamo", "target", "emulator"),
    [(False, "host", ()), (False, "rpi4", QEMU), (True, "host", ())],
)
def test_it_gives_what_pytorch_gives(
    dynamo: bool, target: str, emulator: tuple[str, ...], tmp_path: Path
) -> None:
    module, path = network(torch.sign), tmp_path / "network.onnx"
    export(module, path, dynamo)
    bundle = build.build_bundle(
        path, load_target(target), tmp_path / "bundle", supplement=Supplement(PREPROCESSING)
    )
    # Of 2 bits are the activations, as some are exactly 0.
    bits = [(layer.weight_bits, layer.activation_bits) for layer in bundle.manifest.layers]
    assert bits.count((1, 2)) == 3
    pictures = np.random.default_rng(1).integers(0, 256, (20, 16, 16, 3), dtype=np.uint8)
    logits = run(bundle, emulator, pictures, tmp_path)
    x = ((pictures.transpose(0, 3, 1, 2) / 256 - 0.5) / 0.25).astype(np.float32)
    session = onnxruntime.InferenceSession(path)
    by_file = [session.run(None, {"input": one[None]})[0][0] for one in x]
    with torch.no_grad():
        assert (logits == module(torch.from_numpy(x)).numpy()).all()
    assert (logits == by_file).all()
    assert len(np.unique(logits.argmax(axis=1))) > 1


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("sign", [PlainSign.apply, SymbolicSign.apply])
@pytest.mark.parametrize("dynamo", [False, True])
def test_signs_with_a_gradient_of_their_own(sign: Any, dynamo: bool, tmp_path: Path) -> None:
    export(network(sign), tmp_path / "network.onnx", dynamo)
    layers = import_foreign(tmp_path / "network.onnx", PREPROCESSING).layers.values()
    assert sum(isinstance(layer, Convolution) for layer in layers) == 3


@pytest.mark.filterwarnings("ignore")
def test_weights_beside_the_file_are_read(tmp_path: Path) -> None:
    """PyTorch's exporter writes them there, unless it is told otherwise."""
    inside, beside = tmp_path / "inside.onnx", tmp_path / "network.onnx"
    export(network(torch.sign), inside)
    onnx.save(
        onnx.load(inside),
        beside,
        save_as_external_data=True,
        location="network.onnx.data",
        size_threshold=0,
    )
    networks = [import_foreign(path, PREPROCESSING) for path in (inside, beside)]
    assert networks[0].to_onnx().graph.node == networks[1].to_onnx().graph.node
    data = tmp_path / "network.onnx.data"
    key = build._cache_key(beside, load_target("host"), PREPROCESSING, 1)
    data.write_bytes(data.read_bytes()[:100])
    with pytest.raises(InputError, match="not a valid ONNX file"):
        import_foreign(beside, PREPROCESSING)
    assert build._cache_key(beside, load_target("host"), PREPROCESSING, 1) != key
    data.unlink()
    with pytest.raises(InputError, match=r"network\.onnx\.data', which is not there"):
        import_foreign(beside, PREPROCESSING)
    data.symlink_to(inside)
    with pytest.raises(InputError, match="weights in other files"):
        import_foreign(beside, PREPROCESSING)
