"""A state_dict with the names and shapes of torchvision's MobileNetV2, of a network like it."""

from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from bitat_deploy.errors import InputError
from bitat_deploy.training.networks import build_network
from bitat_deploy.training.quantizers import int8_weight
from bitat_deploy.training.recipe import Recipe, load_recipe
from bitat_deploy.training.twin import load_twin

SETTINGS = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1),
            (6, 160, 3, 2), (6, 320, 1, 1)]  # fmt: skip
BLOCKS = str([list(row) for row in SETTINGS])
MEAN = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
DEVIATION = torch.tensor([0.229, 0.224, 0.225])[:, None, None]


def convolution(inputs: int, outputs: int, kernel: int, stride: int, groups: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)


def normalized(
    inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Entries 0, 1, 2: convolution, batch normalisation, activation."""
    layer = convolution(inputs, outputs, kernel, stride, groups)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU())


class Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        layers: list[nn.Module] = [] if expansion == 1 else [normalized(inputs, hidden)]
        layers.append(normalized(hidden, hidden, 3, stride, hidden))
        layers += [convolution(hidden, outputs, 1, 1, 1), nn.BatchNorm2d(outputs)]
        self.conv = nn.Sequential(*layers)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, values: Tensor) -> Tensor:
        return self.conv(values) + values if self.residual else self.conv(values)


class Like(nn.Module):
    """As torchvision's, but for ReLU in place of ReLU6, and a border that is black."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [normalized(3, 32, 3, 2)]
        channels = 32
        for expansion, outputs, repeats, stride in SETTINGS:
            for repeat in range(repeats):
                layers.append(Block(channels, outputs, expansion, 1 if repeat else stride))
                channels = outputs
        layers.append(normalized(channels, 1280))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, classes))

    def forward(self, pixels: Tensor) -> Tensor:
        padded = nn.functional.pad(pixels, (1, 1, 1, 1))
        self.features[0][0].padding = (0, 0)
        values = self.features((padded - MEAN) / DEVIATION)
        return self.classifier(values.mean(dim=(2, 3)))


@pytest.fixture(scope="module")
def network() -> Like:
    torch.manual_seed(5)
    torch.set_num_threads(1)
    like = Like(10)
    for part in like.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.weight, 1, 0.2)
            nn.init.normal_(part.bias, 0, 0.2)
            part.momentum = None
    with torch.no_grad():  # what our network rounds to 8 bits is rounded already
        stem, last = like.features[0][0].weight, like.classifier[1].weight
        stem.copy_(int8_weight(stem / DEVIATION, per_channel=True) * DEVIATION)
        last.copy_(int8_weight(last, per_channel=False))
        like(torch.rand(16, 3, 32, 32))
    return like.eval()


@pytest.fixture
def path(network: Like, tmp_path: Path) -> Path:
    torch.save(network.state_dict(), tmp_path / "mobilenet_v2.pth")
    return tmp_path / "mobilenet_v2.pth"


def recipe(path: Path, *changes: str) -> Recipe:
    first = ["network.width=1.0", "network.stem_stride=2", f"network.blocks={BLOCKS}"]
    values = [*first, "network.block=shortcut", "network.normalized_stream=false", *changes]
    return load_recipe("cifar-100-mobilenet-v2-uniq", [f"init={path}", *values])


NAMES = tuple("abcdefghij")


def test_it_computes_as_it_did(network: Like, path: Path) -> None:
    state = OrderedDict(network.state_dict())
    assert len(state) == 314  # as torchvision's has entries
    assert state["features.18.0.weight"].shape == (1280, 320, 1, 1)
    assert state["features.2.conv.1.0.weight"].shape == (96, 1, 3, 3)
    given = recipe(path)
    own = build_network(given.network, given.quantization, (32, 32, 3), 10)
    note = load_twin(path, given, own, NAMES)
    assert note.startswith("began with 52 of 52 layers"), note
    pixels = torch.rand(4, 3, 32, 32)
    with torch.no_grad():
        expected, logits = network(pixels), own.eval()(pixels)
    torch.testing.assert_close(logits, expected, rtol=1e-3, atol=1e-3)
    layer = next(own.binary_layers())
    before = layer.quantizer.step.clone()
    layer.quantizer.initialize(layer.weight)
    assert torch.equal(layer.quantizer.step, before)


def test_other_classes_and_channels_keep_what_does_not_fit(path: Path) -> None:
    given = recipe(path, "network.blocks=" + BLOCKS.replace("320", "192"))
    own = build_network(given.network, given.quantization, (32, 32, 1), 7)
    before = {name: value.clone() for name, value in own.state_dict().items()}
    assert load_twin(path, given, own, NAMES[:7]).startswith("began with 49 of 52 layers")
    same = [name for name, value in own.state_dict().items() if torch.equal(value, before[name])]
    weights = {name for name in same if name.endswith("weight") and value_of(before, name) > 1}
    assert weights == {
        "stem.weight",
        "body.block16.layers.project.weight",
        "body.head.weight",
        "classifier.weight",
    }


def value_of(state: dict[str, Tensor], name: str) -> int:
    return state[name].dim()


def test_what_does_not_fit_at_all_is_refused(path: Path) -> None:
    given = recipe(path, "network.width=0.5")
    own = build_network(given.network, given.quantization, (32, 32, 3), 10)
    with pytest.raises(InputError, match="no layer of torchvision's MobileNetV2 fits"):
        load_twin(path, given, own, NAMES)
    untrained = recipe(path, "full_precision=null")
    with pytest.raises(InputError, match="give full_precision too"):
        load_twin(path, untrained, own, NAMES)
