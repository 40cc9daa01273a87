"""Which layers need bits: measured by themselves, and chosen within a budget."""

import itertools
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from bitat_deploy.cli.main import cli
from bitat_deploy.errors import InputError
from bitat_deploy.training.checkpoint import load_checkpoint
from bitat_deploy.training.post_training import choose_bits, layer_sensitivities
from bitat_deploy.training.twin import finished_network
from tests.training.post_training.small_runs import SHAPE, checkpoint, draw_photos

BITS = (1, 2, 8)


def test_a_layer_alone_moves_the_answers_the_less_the_more_bits_it_has(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "twin.pt")
    generator = torch.Generator().manual_seed(1)
    photos = torch.randint(0, 256, (40, *SHAPE), dtype=torch.uint8, generator=generator)
    told: list[str] = []
    run = load_checkpoint(path)
    harm = layer_sensitivities(run, path, photos, 4, BITS, told.append)
    assert list(harm) == told == [x.name for x in finished_network(run).binary_layers()]
    for layer, harms in harm.items():
        assert list(harms) == list(BITS)
        assert 0 <= harms[8] < harms[1], layer
        assert harms[8] < 0.01
    # Each layer was put back: measured alone, or after the others, it is the same.
    assert layer_sensitivities(run, path, photos, 4, BITS) == harm


def test_the_middle_of_larger_photos_is_measured(tmp_path: Path) -> None:
    data = {"batch_size": 16, "image_size": 20, "crop": 16}
    path = checkpoint(tmp_path / "twin.pt", data=data)
    photos = torch.randint(0, 256, (12, 20, 20, 3), dtype=torch.uint8)
    run = load_checkpoint(path)
    middles = photos[:, 2:18, 2:18].contiguous()
    harm = layer_sensitivities(run, path, photos, 4, (1,))
    assert harm == layer_sensitivities(run, path, middles, 4, (1,))


def test_the_choice_is_the_best_within_the_budget() -> None:
    generator = torch.Generator().manual_seed(3)
    layers, bits = ("a", "b", "c", "d"), (1, 2, 4)
    harm, cost = (
        {
            x: dict(zip(bits, torch.rand(3, generator=generator).tolist(), strict=True))
            for x in layers
        }
        for _ in range(2)
    )
    for budget in (1.2, 1.6, 2.2, 9.0):
        every = [
            dict(zip(layers, chosen, strict=True)) for chosen in itertools.product(bits, repeat=4)
        ]
        allowed = [one for one in every if sum(cost[x][b] for x, b in one.items()) <= budget]
        best = min(allowed, key=lambda one: sum(harm[x][b] for x, b in one.items()))
        assert choose_bits(harm, cost, budget) == best
        assert choose_bits(harm, cost, budget + 5, elsewhere=5) == best
    with pytest.raises(InputError, match=r"of 0\.01 is below the .* raise it"):
        choose_bits(harm, cost, 0.01)


def test_quantize_gives_layers_their_bits(tmp_path: Path) -> None:
    path, photos = checkpoint(tmp_path / "twin.pt"), draw_photos(tmp_path / "photos", 12)
    output = tmp_path / "out"
    options = ["--weights", "1", "--activations", "4", "--output", str(output)]
    bits = ["--layer-bits", "*.depthwise=4", "--layer-bits", "block1.pointwise=2"]
    command = ["quantize", str(path), "--data", str(photos), *options]
    result = CliRunner().invoke(cli, [*command, *bits])
    assert result.exit_code == 0, result.output
    network = finished_network(load_checkpoint(output / "checkpoint.pt"))
    found = {layer.name: layer.weight_bits for layer in network.binary_layers()}
    assert set(found.values()) == {1, 2, 4}
    assert all((found[name] == 4) == name.endswith("depthwise") for name in found)
    assert CliRunner().invoke(cli, [*command, "--layer-bits", "4"]).exit_code == 2
