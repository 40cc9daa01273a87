"""Train a small network with Brevitas, export it as QONNX, and keep what Brevitas answers.

    python export_brevitas.py

writes brevitas.onnx and brevitas.npz beside this file. Needs brevitas, onnxoptimizer and
onnxscript, which bitat-deploy does not: made with Brevitas 0.13.4 and PyTorch 2.13. The task is
to tell four directions of stripes apart.
"""

from pathlib import Path

import brevitas.nn as qnn
import numpy as np
import onnx
import torch
from brevitas.export import export_qonnx
from brevitas.quant import SignedBinaryActPerTensorConst, SignedBinaryWeightPerTensorConst
from torch import nn

SIZE, CLASSES, STEPS, BATCH = 16, 4, 150, 64
FOLDER = Path(__file__).parent


def stripes(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures uint8 [count, SIZE, SIZE, 1] and their classes."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, CLASSES, count)
    angle = np.pi * labels / CLASSES + random.normal(0, 0.1, count)
    rows, columns = np.mgrid[0:SIZE, 0:SIZE]
    position = (
        np.cos(angle)[:, None, None] * columns + np.sin(angle)[:, None, None] * rows
    ) + random.uniform(0, 6, (count, 1, 1))
    pictures = 128 + 70 * np.sin(position) + random.normal(0, 25, position.shape)
    return np.clip(pictures, 0, 255).astype(np.uint8)[..., None], labels


def binary_sign() -> nn.Module:
    return qnn.QuantIdentity(act_quant=SignedBinaryActPerTensorConst)


def binary_conv(inputs: int, outputs: int, kernel: int) -> nn.Module:
    return qnn.QuantConv2d(
        inputs,
        outputs,
        kernel,
        padding=kernel // 2,
        bias=False,
        weight_quant=SignedBinaryWeightPerTensorConst,
    )


def network() -> nn.Module:
    """1-bit layers, then layers of 2 and 4 bits, then an 8-bit classifier."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, stride=2, bias=False),
        nn.BatchNorm2d(16),
        binary_sign(),
        binary_conv(16, 32, 3),
        nn.BatchNorm2d(32),
        binary_sign(),
        binary_conv(32, 32, 1),
        nn.BatchNorm2d(32),
        qnn.QuantReLU(bit_width=2),
        qnn.QuantConv2d(32, 32, 3, padding=1, stride=2, groups=32, bias=False, weight_bit_width=2),
        nn.BatchNorm2d(32),
        qnn.QuantReLU(bit_width=4),
        qnn.QuantConv2d(32, 32, 1, bias=False, weight_bit_width=4),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        qnn.QuantLinear(32, CLASSES, bias=True, weight_bit_width=8),
    )


def as_input(pictures: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255


def main() -> None:
    torch.manual_seed(0)
    net = network()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    for step in range(STEPS):
        pictures, labels = stripes(BATCH, seed=step)
        loss = nn.functional.cross_entropy(net(as_input(pictures)), torch.from_numpy(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    net.eval()
    pictures, labels = stripes(100, seed=10_000)
    with torch.no_grad():
        logits = net(as_input(pictures)).numpy()
    print("accuracy", (logits.argmax(axis=1) == labels).mean())
    example = as_input(pictures[:1])
    path = FOLDER / "brevitas.onnx"
    export_qonnx(net, args=example, export_path=str(path))
    path.with_suffix(".onnx.data").unlink(missing_ok=True)  # the weights are in the file as well
    model = onnx.load(path)
    for node in model.graph.node:
        del node.metadata_props[:]  # where each line of code stood on the machine
    for value in [*model.graph.value_info, *model.graph.input, *model.graph.output]:
        del value.metadata_props[:]
    del model.graph.metadata_props[:], model.metadata_props[:]
    onnx.save(model, path)
    np.savez_compressed(FOLDER / "brevitas.npz", pictures=pictures, labels=labels, logits=logits)


if __name__ == "__main__":
    main()
