"""Users' own modules, binarized and exported: one answer everywhere, or the module that cannot."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from numpy.typing import NDArray
from torch import Tensor, nn

from bitat_deploy import api
from bitat_deploy.cli.main import cli
from bitat_deploy.errors import InputError, UnsupportedOperatorError
from bitat_deploy.network import OWN, IntegerNetwork, MaxPool, Preprocessing
from bitat_deploy.onnx_format import read_network, reference_logits, to_onnx
from bitat_deploy.training.binarize import Binarized, BinarizeSchedule, binarize
from bitat_deploy.training.integer_network import integer_logits, load_checkpoint_network
from tests.drawn_networks import numpy_logits
from tests.test_bit_for_bit import QEMU, run

SIDE, CLASSES = 13, 5
NORMALIZED = Preprocessing(scale=1 / 255, mean=(0.5, 0.4, 0.3), std=(0.25, 0.2, 0.3))
PLAIN = Preprocessing(scale=1 / 255)
# Signs as the weights have them: what is tested is the export.
UNTRAINED = BinarizeSchedule(
    activation_steps=0, layer_steps=0, fine_tune_steps=0, calibration_batches=4
)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(7)


class Residual(nn.Module):
    """ResNet's block: a shortcut, with a convolution where the size changes."""

    def __init__(self, inputs: int, outputs: int, stride: int, activation: nn.Module) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = activation
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.down: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.down = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        y += self.down(x)
        return self.relu(y)


class PreActivation(nn.Module):
    """ResNet's second form: normalized and activated first, averaged where the size changes."""

    def __init__(self, channels: int, halved: bool) -> None:
        super().__init__()
        self.bn1, self.bn2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, 2 if halved else 1, 1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, groups=2)
        self.shortcut = nn.AvgPool2d(2, ceil_mode=True) if halved else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(torch.relu(self.bn1(x)))
        return self.shortcut(x) + self.conv2(nn.functional.hardtanh(self.bn2(y)))


class Parallel(nn.Module):
    """Two convolutions of one tensor, one of which has two more readers."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.left, self.right = (nn.Conv2d(channels, channels, 3, 1, 1) for _ in range(2))
        self.norm = nn.BatchNorm2d(channels)
        self.last = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.left(x), self.norm(self.right(x))
        return left + right + self.last(nn.functional.leaky_relu(right, 0.1))


def whole(*inner: nn.Module, channels: int, inputs: int = 3) -> nn.Module:
    """With a first convolution of 8 channels, and a head."""
    stem = (nn.Conv2d(inputs, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(), nn.Linear(channels, CLASSES))
    return nn.Sequential(*stem, *inner, *head)


def chain() -> nn.Module:
    return whole(
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.BatchNorm2d(8),
        nn.PReLU(8),
        nn.MaxPool2d(3, 2, 1),
        nn.Conv2d(8, 24, (1, 3), padding=(0, 1)),
        nn.BatchNorm2d(24),
        nn.Hardtanh(),
        nn.Conv2d(24, 16, 3, dilation=2, padding=2),
        nn.ReLU6(),
        channels=16,
    )


MODELS: dict[str, Callable[[], nn.Module]] = {
    "chain": chain,
    "residual": lambda: whole(
        Residual(8, 8, 1, nn.ReLU(inplace=True)), Residual(8, 16, 2, nn.PReLU(16)), channels=16
    ),
    "pre-activation": lambda: whole(
        PreActivation(8, False),
        PreActivation(8, True),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        channels=8,
    ),
    "parallel": lambda: whole(Parallel(8), nn.ReLU6(), Parallel(8), channels=8),
}


def drawn(seed: int, preprocessing: Preprocessing) -> tuple[NDArray[np.uint8], list[Tensor]]:
    """Pictures, and the same as a data loader gives them."""
    pictures = np.random.default_rng(seed).integers(0, 256, (5, 16, SIDE, SIDE + 2, 3), np.uint8)
    mean, std = (torch.tensor(x)[:, None, None] for x in (preprocessing.mean, preprocessing.std))
    batches = [torch.from_numpy(batch).permute(0, 3, 1, 2) for batch in pictures]
    return pictures[0], [(batch * preprocessing.scale - mean) / std for batch in batches]


def exported(
    model: nn.Module, preprocessing: Preprocessing = PLAIN, keep: tuple[str, ...] = ()
) -> tuple[Binarized, NDArray[np.uint8], Tensor]:
    """Binarized with batch normalisations of any sign and size; pictures; their numbers."""
    pictures, images = drawn(3, preprocessing)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    data = [(batch, torch.arange(16) % CLASSES) for batch in images]
    result = binarize(
        model,
        "straight-through",
        data,
        schedule=UNTRAINED,
        preprocessing=preprocessing,
        keep=keep,
        class_names="abcde",
    )
    return result, pictures, images[0]


def one_answer(network: IntegerNetwork, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """PyTorch's integers, numpy's and ONNX Runtime's."""
    logits = integer_logits(network, pictures)
    assert np.array_equal(numpy_logits(network, pictures), logits)
    assert np.array_equal(reference_logits(to_onnx(network), pictures), logits)
    return logits


@pytest.mark.parametrize("kind", MODELS)
def test_drawn_modules(kind: str) -> None:
    preprocessing = NORMALIZED if kind in ("chain", "parallel") else PLAIN
    result, pictures, images = exported(MODELS[kind](), preprocessing)
    network = result.integer_network()
    assert network.class_names == tuple("abcde")
    logits = one_answer(network, pictures)
    with torch.no_grad():
        wanted = result.model(images).numpy()
    assert np.corrcoef(logits.ravel(), wanted.ravel())[0, 1] > 0.9


def test_layers_that_are_kept_have_8_bits() -> None:
    model = whole(
        nn.Conv2d(8, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.LeakyReLU(0.2),
        nn.Conv2d(8, 8, 1),
        nn.BatchNorm2d(8),
        Residual(8, 8, 1, nn.ReLU()),
        channels=8,
    )
    result, pictures, images = exported(model, NORMALIZED, keep=("5", "9.conv1"))
    network = result.integer_network()
    bits = {layer.name: getattr(layer, "weight_bits", None) for layer in network.layers}
    assert [bits[name] for name in ("3", "5", "7", "9.conv1", "9.conv2")] == [1, 8, 1, 8, 1]
    logits = one_answer(network, pictures)
    with torch.no_grad():
        wanted = result.model(images).numpy()
    assert np.corrcoef(logits.ravel(), wanted.ravel())[0, 1] > 0.9


def test_signs_come_straight_from_sums_where_nothing_else_reads_them() -> None:
    network = exported(chain())[0].integer_network()
    kinds = [type(layer).__name__ for layer in network.layers]
    assert "QuantizeStream" not in kinds
    assert sum(isinstance(layer, MaxPool) for layer in network.layers) == 1


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, NDArray[np.uint8]]:
    """Of a network with every kind of layer."""
    torch.manual_seed(7)
    model = whole(
        Residual(8, 16, 2, nn.ReLU()),
        nn.Conv2d(16, 16, 3, padding=1, groups=16),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 8, 1),
        nn.BatchNorm2d(8),
        PreActivation(8, True),
        channels=8,
    )
    result, pictures, _ = exported(model, NORMALIZED, keep=("3.down.0",))
    path = tmp_path_factory.mktemp("own") / "my net.pt"
    result.save(path)
    assert not [file for file in path.parent.iterdir() if file != path]
    return path, pictures


@pytest.mark.parametrize(("target", "emulator"), [("host", ()), ("rpi4", QEMU)])
def test_a_bundle_of_the_file_gives_the_same(
    checkpoint: tuple[Path, NDArray[np.uint8]],
    target: str,
    emulator: tuple[str, ...],
    tmp_path: Path,
) -> None:
    path, pictures = checkpoint
    if emulator and shutil.which(emulator[0]) is None:
        pytest.skip("needs qemu-aarch64 (Debian's qemu-user)")
    network = load_checkpoint_network(path)
    bundle = api.build(str(path), target, tmp_path / "bundle")
    logits = run(bundle, emulator, pictures, tmp_path)
    assert np.array_equal(logits, one_answer(network, pictures))


def test_the_file_is_exported_with_its_record(
    checkpoint: tuple[Path, NDArray[np.uint8]], tmp_path: Path
) -> None:
    done = CliRunner().invoke(cli, ["export", str(checkpoint[0]), "-o", str(tmp_path / "a.onnx")])
    assert done.exit_code == 0, done.output
    network = read_network(tmp_path / "a.onnx")
    assert (network.name, network.class_names) == ("my-net", tuple("abcde"))
    assert network.preprocessing == OWN  # its arithmetic is in the first convolution
    assert network.metadata["method"].startswith("straight-through sign")


def test_a_damaged_file_is_one_sentence(
    checkpoint: tuple[Path, NDArray[np.uint8]], tmp_path: Path
) -> None:
    document = torch.load(checkpoint[0], weights_only=True)
    first = document["operations"][0]
    for change in (
        {"operations": 3},
        {"version": 99},
        {"class_names": None},
        {"preprocessing": "{"},
        {"input_shape": (3,)},
        {"operations": document["operations"][3:]},
        {"operations": [{**first, "kind": "attention"}, *document["operations"][1:]]},
        {"operations": [{**first, "tensors": {}}, *document["operations"][1:]]},
    ):
        torch.save({**document, **change}, tmp_path / "damaged.pt")
        with pytest.raises(InputError) as caught:
            load_checkpoint_network(tmp_path / "damaged.pt")
        assert "\n" not in str(caught.value)


class Called(nn.Module):
    """A residual block with a wish of its own."""

    def __init__(self, forward: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.pool, self.wish = nn.MaxPool2d(3, 1, 1), forward

    def forward(self, x: Tensor) -> Tensor:
        return self.wish(self, x)


REFUSED: dict[str, nn.Module] = {
    "'3' is a GELU": nn.GELU(),
    "'3' is a GroupNorm": nn.GroupNorm(2, 8),
    "'3.mul' is the function mul": Called(lambda m, x: m.norm(m.conv(x)) * x),
    "'3.sigmoid' is the function sigmoid": Called(lambda m, x: torch.sigmoid(m.norm(m.conv(x)))),
    "which '3.add' adds, is a convolution": Called(lambda m, x: x + m.norm(m.conv(x)).relu()),
    "cannot be traced": Called(lambda m, x: m.norm(m.conv(x)) if x.sum() > 0 else x),
    "'3.pool.2' is a MaxPool2d whose": Called(lambda m, x: m.norm(m.conv(m.pool(x))) + m.pool(x)),
    "'3.add' is an addition of something": Called(lambda m, x: m.norm(m.conv(x)) + 1.0),
    "'3' is an AvgPool2d of": nn.AvgPool2d(3, 1),
    "'3' has filters of 2x3": nn.Conv2d(8, 8, (2, 3)),
}


@pytest.mark.parametrize("complaint", REFUSED)
def test_the_module_that_cannot_is_named(complaint: str) -> None:
    model = whole(REFUSED[complaint], nn.Conv2d(8, 8, 1), channels=8)
    with pytest.raises(UnsupportedOperatorError, match=complaint):
        exported(model)


def test_what_ends_in_another_way_is_named() -> None:
    flat = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(4 * 9 * 11, CLASSES)
    )
    with pytest.raises(UnsupportedOperatorError, match="'2' makes a vector of 9 x 11 positions"):
        exported(flat)
    two = whole(nn.Conv2d(8, 8, 1), channels=8).append(nn.Linear(CLASSES, CLASSES))
    with pytest.raises(UnsupportedOperatorError, match=r"ends with '.*'; a network of the device"):
        exported(two)


def test_images_of_another_preprocessing_are_refused() -> None:
    _, images = drawn(3, NORMALIZED)
    data = [(batch, torch.zeros(16, dtype=torch.int64)) for batch in images]
    with pytest.raises(InputError, match=r"images in data go from .* but pixels become 0 to 1"):
        binarize(chain(), "bitat", data)
    bgr = replace(NORMALIZED, mean=(0.3, 0.4, 0.5), std=(0.3, 0.2, 0.25), order="bgr")
    with pytest.raises(InputError, match="images in data"):
        binarize(chain(), "bitat", data, preprocessing=bgr)
    with pytest.raises(InputError, match="class_names has 2 names, the model 5 logits"):
        binarize(chain(), "bitat", data, preprocessing=NORMALIZED, class_names=("a", "b"))
    short = BinarizeSchedule(0, 0, 0, calibration_batches=1)
    result = binarize(chain(), "straight-through", data, schedule=short, exports=False)
    with pytest.raises(InputError, match="exports=False"):
        result.integer_network()
