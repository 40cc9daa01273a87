import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from bitat_deploy.errors import InputError
from bitat_deploy.training.binarize import BinarizeSchedule, binarize
from bitat_deploy.training.bitat.convolution import BinarizedConv2d
from bitat_deploy.training.bitat.options import BitatOptions

SCHEDULE = BinarizeSchedule(
    activation_steps=30,
    layer_steps=10,
    fine_tune_steps=30,
    learning_rate=0.01,
    calibration_batches=2,
    distillation=0.3,
)


class Residual(nn.Module):
    """A forward of its own: a shortcut, a functional activation, a depthwise layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, padding=1)
        self.depthwise = nn.Conv2d(8, 8, 3, padding="same", groups=8, bias=False)
        self.first_norm = nn.BatchNorm2d(8)
        self.pointwise = nn.Conv2d(8, 8, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(8)
        self.widen = nn.Conv2d(8, 12, 3, stride=2, padding=1)
        self.head = nn.Linear(12, 2)

    def forward(self, images: Tensor) -> Tensor:
        values = torch.relu(self.stem(images))
        values = values + torch.relu(self.first_norm(self.depthwise(values)))
        values = torch.relu(self.second_norm(self.pointwise(values)))
        return self.head(self.widen(values).mean(dim=(2, 3)))


def stripes(batches: int) -> list[tuple[Tensor, Tensor]]:
    """Noisy stripes, upright or lying."""
    generator = torch.Generator().manual_seed(1)
    wave = torch.tensor([1.0, 1.0, -1.0, -1.0]).repeat(2).expand(8, 8)
    result = []
    for _ in range(batches):
        labels = torch.randint(0, 2, (32,), generator=generator)
        images = torch.stack([wave if label else wave.T for label in labels]).unsqueeze(1)
        result.append((images + torch.randn(images.shape, generator=generator), labels))
    return result


@pytest.fixture(scope="module")
def data() -> list[tuple[Tensor, Tensor]]:
    return stripes(10)


@pytest.fixture(scope="module")
def trained(data: list[tuple[Tensor, Tensor]]) -> Residual:
    torch.manual_seed(2)
    torch.set_num_threads(1)
    model = Residual()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for images, labels in data * 6:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
    return model.eval()


def accuracy(model: nn.Module) -> float:
    images, labels = stripes(30)[-1]
    with torch.no_grad():
        return float((model(images).argmax(dim=1) == labels).double().mean())


@pytest.mark.parametrize("method", ["bitat", "straight-through"])
def test_a_residual_network_is_binarized_and_still_tells_stripes(
    method: str, data: list[tuple[Tensor, Tensor]], trained: Residual
) -> None:
    before = copy.deepcopy(trained.state_dict())
    lines: list[str] = []
    result = binarize(trained, method, data, schedule=SCHEDULE, report=lines.append, exports=False)
    assert result.layers == ("depthwise", "pointwise", "widen")
    assert result.left == ("stem", "head")
    for name in result.layers:
        layer = result.model.get_submodule(name)
        assert isinstance(layer, BinarizedConv2d)
        assert set(layer.weight.detach().unique().tolist()) <= {-1.0, 1.0}
        assert layer.operand(torch.randn(2, 8, 4, 4)).unique().tolist() == [-1.0, 1.0]
    assert accuracy(result.model) >= 0.9
    assert all(torch.equal(value, before[name]) for name, value in trained.state_dict().items())
    if method == "bitat":
        assert result.blocks == (("depthwise", "pointwise", "widen"),)
        assert [record.name for record in result.commits] == list(result.layers)
    assert any("fine-tune" in line for line in lines)


def test_the_same_seed_gives_the_same_weights(
    data: list[tuple[Tensor, Tensor]], trained: Residual
) -> None:
    short = replace(SCHEDULE, activation_steps=2, layer_steps=3, fine_tune_steps=2)
    one, two = (
        binarize(trained, "bitat", data, schedule=short, exports=False).model for _ in range(2)
    )
    pairs = zip(one.state_dict().values(), two.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize(
    "changes",
    [
        {"block_layers": 1},
        {"importance_weight": 0.0},
        {"trained_basis": False},
        {"rotation": "cayley", "off_diagonal": "learned"},
        {"off_diagonal": "none", "centred": False},
        {"compensation": "start", "reduction": "clusters", "max_rows": 4},
        {"compensation": "none", "reduction": "none"},
        {"descent_sweeps": 0, "importance_order": False},
    ],
)
def test_every_part_can_be_switched_off(
    changes: dict[str, object], data: list[tuple[Tensor, Tensor]], trained: Residual
) -> None:
    short = replace(SCHEDULE, activation_steps=0, layer_steps=2, fine_tune_steps=0)
    options = replace(BitatOptions(), **changes)
    result = binarize(trained, "bitat", data, options=options, schedule=short, exports=False)
    assert len(result.commits) == 3
    if options.block_layers == 1:
        assert len(result.blocks) == 3
    if options.descent_sweeps == 0 and options.block_layers == 1:
        assert all(record.flipped == 0 for record in result.commits)


def test_layers_can_be_kept(data: list[tuple[Tensor, Tensor]], trained: Residual) -> None:
    short = replace(SCHEDULE, activation_steps=1, layer_steps=1, fine_tune_steps=1)
    result = binarize(
        trained, "bitat", data, schedule=short, keep=("widen",), depthwise=False, exports=False
    )
    assert result.layers == ("pointwise",)
    assert result.left == ("stem", "depthwise", "widen", "head")


def sequential(*inner: nn.Module) -> nn.Module:
    parts = (nn.Conv2d(1, 4, 3), *inner, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    return nn.Sequential(*parts)


def test_what_cannot_be_handled_is_named(data: list[tuple[Tensor, Tensor]]) -> None:
    again = nn.Conv2d(4, 4, 1)
    models = {
        "'1' is a ConvTranspose2d": sequential(nn.ConvTranspose2d(4, 4, 3)),
        "'1' is called more than once": sequential(again, again),
        "'1' pads with 'reflect' instead of zeros": sequential(
            nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect")
        ),
        "'1' is a ParametrizedConv2d": sequential(
            nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 4, 1))
        ),
        "no inner convolution": sequential(),
    }
    for complaint, model in models.items():
        with pytest.raises(InputError, match=complaint):
            binarize(model, "bitat", data)


def test_bad_arguments_are_named(data: list[tuple[Tensor, Tensor]]) -> None:
    model = sequential(nn.Conv2d(4, 4, 1))
    with pytest.raises(InputError, match="unknown method 'sign'"):
        binarize(model, "sign", data)
    with pytest.raises(InputError, match="only once"):
        binarize(model, "bitat", iter(data))
    with pytest.raises(InputError, match="pairs of images"):
        binarize(model, "bitat", [data[0][0]])  # type: ignore[list-item]
    with pytest.raises(InputError, match="no batch"):
        binarize(model, "bitat", [])
    with pytest.raises(InputError, match="keep names no module of the model: missing"):
        binarize(model, "bitat", data, keep=("missing",))
    with pytest.raises(InputError, match="reduction must be one of"):
        BitatOptions(reduction="rows")
    with pytest.raises(InputError, match="layer_steps"):
        BinarizeSchedule(layer_steps=-1)
